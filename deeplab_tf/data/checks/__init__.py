"""Checks of a data set before it is trained on: `open_lists`, `check_dataset`, `Report`."""

from deeplab_tf.data.checks.dataset import check_dataset
from deeplab_tf.data.checks.findings import ERROR, KINDS, WARNING, Finding
from deeplab_tf.data.checks.inspection import inspect
from deeplab_tf.data.checks.lists import open_lists
from deeplab_tf.data.checks.picture import offenders_picture
from deeplab_tf.data.checks.report import Report, SplitCounts

__all__ = [
    "ERROR",
    "KINDS",
    "WARNING",
    "Finding",
    "Report",
    "SplitCounts",
    "check_dataset",
    "inspect",
    "offenders_picture",
    "open_lists",
]
