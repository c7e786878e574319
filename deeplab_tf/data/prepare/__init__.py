"""Preparing data sets: from their authors' archives to TFRecord files.

`prepare` runs the builder of one data set. A builder (one file for each data set) reads the
original files; `builder.py` has what they share, `archives.py` where the files come from.
"""

from deeplab_tf.data.prepare.registry import BUILDERS, find_builder
from deeplab_tf.data.prepare.run import Prepared, prepare

__all__ = ["BUILDERS", "Prepared", "find_builder", "prepare"]
