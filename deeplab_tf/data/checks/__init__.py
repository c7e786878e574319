"""Checks of a data set before it is trained on: `open_lists`, `check_dataset`, `Report`."""

from deeplab_tf.data.checks.dataset import check_dataset
from deeplab_tf.data.checks.findings import ERROR, KINDS, WARNING, Finding, accepted_kinds
from deeplab_tf.data.checks.lists import open_lists, same_list
from deeplab_tf.data.checks.picture import offenders_picture
from deeplab_tf.data.checks.report import Report, SplitCounts
from deeplab_tf.data.checks.tile_sizes import check_tile_sizes

__all__ = [
    "ERROR",
    "KINDS",
    "WARNING",
    "Finding",
    "Report",
    "SplitCounts",
    "accepted_kinds",
    "check_dataset",
    "check_tile_sizes",
    "offenders_picture",
    "open_lists",
    "same_list",
]
