"""Data sets by name."""

from deeplab_tf.data.records import read_prepared, read_prepared_labels
from deeplab_tf.data.synthetic import ensure_synthetic
from deeplab_tf.data.voc import read_colors, read_label_set, read_split
from deeplab_tf.errors import InputError

# What tools/prepare_data.py makes.
PREPARED = (
    "voc12",
    "voc12_aug",
    "pascal_context",
    "person_part",
    "cityscapes",
    "coco_voc",
    "camvid",
    "folder",
)

DATASETS = ("voc", "synthetic", *PREPARED)


def open_dataset(dataset, data_dir, split, need_labels=True):
    """The examples of one split and the classes of a data set.

    Args:
      dataset: "voc" for any folder in VOC layout; "synthetic" for the built-in data set, which
        is written into `data_dir` on first use; or a name of `PREPARED`, which
        tools/prepare_data.py wrote there.
      data_dir: the data set's folder.
      split: name of the list of examples, such as "train" or "val".
      need_labels: whether every example must have a label; see `read_split`.

    Returns:
      (list of `Example` or of `RecordExample`, `LabelSet`).

    Raises:
      InputError: where the name is unknown or the folder is incomplete.
    """
    if dataset not in DATASETS:
        raise InputError(f"unknown dataset {dataset!r}; give one of {', '.join(DATASETS)}")
    if dataset in PREPARED:
        examples = read_prepared(data_dir, dataset, split)
        return examples, read_prepared_labels(data_dir, dataset)
    if dataset == "synthetic":
        ensure_synthetic(data_dir)
    return read_split(data_dir, split, need_labels), read_label_set(data_dir)


def label_colors(dataset, data_dir):
    """The colours by which a data set's RGB labels are read; None where labels hold indices.

    Args:
      dataset, data_dir: as for `open_dataset`.
    """
    return None if dataset in PREPARED else read_colors(data_dir)
