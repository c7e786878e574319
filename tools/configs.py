"""`python tools/configs.py ...` does the same as `deeplab-tf configs ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["configs", *sys.argv[1:]]))
