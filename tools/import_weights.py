"""`python tools/import_weights.py ...` does the same as `deeplab-tf import-weights ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["import-weights", *sys.argv[1:]]))
