"""`python tools/check_data.py ...` does the same as `deeplab-tf check-data ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["check-data", *sys.argv[1:]]))
