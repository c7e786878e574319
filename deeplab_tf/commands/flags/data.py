"""The flags that name a data set."""

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.data.datasets import DATASETS, label_encoding, open_dataset
from deeplab_tf.errors import InputError


def define_data_flags(values):
    """Define --dataset and --data_dir."""
    define = heading(values, "Data set")
    define.enum(
        "dataset",
        "voc",
        list(DATASETS),
        "voc: any folder in VOC layout. synthetic: drawn into --data_dir on first use. The others: "
        "prepared in --data_dir by prepare-data.",
    )
    define.string("data_dir", None, "Folder of the data set.", required=True)


def open_split(flags, split, need_labels=True):
    """Open a list of the data set.

    Args:
      flags: the parsed flags.
      split: name of the list of examples.
      need_labels: whether every example must have a label.

    Returns:
      (list of `Example` or `RecordExample`, `LabelSet`, `LabelEncoding` or None).

    Raises:
      InputError: if the data set is missing or its lists are wrong.
    """
    examples, label_set = open_dataset(flags.dataset, flags.data_dir, split, need_labels)
    return examples, label_set, label_encoding(flags.dataset, flags.data_dir)


def check_same_classes(flags, num_classes, label_set):
    """Raise `InputError` unless the data set has as many classes as the model."""
    if label_set.num_classes != num_classes:
        raise InputError(
            f"model {flags.model} has {num_classes} classes but the data set {flags.data_dir}"
            f" has {label_set.num_classes}; give the data set that the model was trained for"
        )
