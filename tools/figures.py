"""`python tools/figures.py ...` does the same as `deeplab-tf figures ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["figures", *sys.argv[1:]]))
