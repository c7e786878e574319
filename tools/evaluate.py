"""`python tools/evaluate.py ...` does the same as `deeplab-tf evaluate ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
