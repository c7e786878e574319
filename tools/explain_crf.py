"""`python tools/explain_crf.py ...` does the same as `deeplab-tf explain-crf ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["explain-crf", *sys.argv[1:]]))
