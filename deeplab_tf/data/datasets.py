"""Data sets by name."""

from deeplab_tf.data.synthetic import ensure_synthetic
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.errors import InputError

DATASETS = ("voc", "synthetic")


def open_dataset(dataset, data_dir, split, need_labels=True):
    """The examples of one split and the classes of a data set.

    Args:
      dataset: "voc" for any folder in VOC layout; "synthetic" for the built-in data set, which
        is written into `data_dir` on first use.
      data_dir: the data set's folder.
      split: name of the list of examples, such as "train" or "val".
      need_labels: whether every example must have a label; see `read_split`.

    Returns:
      (list of `Example`, `LabelSet`).

    Raises:
      InputError: where the name is unknown or the folder is incomplete.
    """
    if dataset not in DATASETS:
        raise InputError(f"unknown dataset {dataset!r}; give one of {', '.join(DATASETS)}")
    if dataset == "synthetic":
        ensure_synthetic(data_dir)
    return read_split(data_dir, split, need_labels), read_label_set(data_dir)
