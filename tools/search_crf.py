"""`python tools/search_crf.py ...` does the same as `deeplab-tf search-crf ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["search-crf", *sys.argv[1:]]))
