"""`python tools/train.py ...` does the same as `deeplab-tf train ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
