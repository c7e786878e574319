"""`python tools/models.py ...` does the same as `deeplab-tf models ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["models", *sys.argv[1:]]))
