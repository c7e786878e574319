"""`python tools/demo.py ...` does the same as `deeplab-tf demo ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
