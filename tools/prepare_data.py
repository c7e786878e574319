"""`python tools/prepare_data.py ...` does the same as `deeplab-tf prepare-data ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["prepare-data", *sys.argv[1:]]))
