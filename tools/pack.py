"""`python tools/pack.py ...` does the same as `deeplab-tf pack ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["pack", *sys.argv[1:]]))
