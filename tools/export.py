"""`python tools/export.py ...` does the same as `deeplab-tf export ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
