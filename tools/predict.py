"""`python tools/predict.py ...` does the same as `deeplab-tf predict ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
