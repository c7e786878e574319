"""The commands: `deeplab-tf NAME`, `python tools/NAME.py`, or `run` from Python.

Each module defines its flags in `define_flags(values)` and does its work in `main(flags)`.
"""

from deeplab_tf.commands.app import run

__all__ = ["run"]
