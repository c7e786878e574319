"""`python tools/ablation.py ...` does the same as `deeplab-tf ablation ...`."""

import sys

from launch import main

if __name__ == "__main__":
    sys.exit(main(["ablation", *sys.argv[1:]]))
