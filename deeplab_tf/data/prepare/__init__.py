"""Preparing data sets: from their authors' archives to TFRecord files.

`prepare` does it. Each data set has a builder, a class in a file of its own, which reads the
original files; builder.py has the base class. archives.py finds, downloads and extracts the
archives, and writer.py writes the records.
"""

from deeplab_tf.data.prepare.run import Prepared, prepare

__all__ = ["Prepared", "prepare"]
