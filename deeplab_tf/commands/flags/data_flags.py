"""The flags that name a data set."""

from absl import flags

from deeplab_tf.data.datasets import DATASETS, label_colors, open_dataset

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "dataset",
    "voc",
    list(DATASETS),
    "voc: any folder in VOC layout; synthetic: drawn into --data_dir on first use; the others: "
    "as tools/prepare_data.py wrote them into --data_dir.",
)
flags.DEFINE_string("data_dir", None, "Folder of the data set.", required=True)


def open_split(split, need_labels=True):
    """Open a split of the data set of the flags.

    Args:
      split: name of the list of examples.
      need_labels: whether every example must have a label.

    Returns:
      (list of `Example` or `RecordExample`, `LabelSet`, the colours of RGB labels or None).

    Raises:
      InputError: where the data set is not there or its lists are wrong.
    """
    examples, label_set = open_dataset(FLAGS.dataset, FLAGS.data_dir, split, need_labels)
    return examples, label_set, label_colors(FLAGS.dataset, FLAGS.data_dir)
