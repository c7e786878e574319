"""The commands: flags and wiring; `tools/NAME.py` and `deeplab-tf NAME` run them."""
