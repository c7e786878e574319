"""`python tools/mil_table.py ...` does the same as `deeplab-tf mil-table ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["mil-table", *sys.argv[1:]]))
