"""The flags that name a data set."""

from absl import flags

from deeplab_tf.data.datasets import DATASETS, open_dataset
from deeplab_tf.data.voc import read_colors

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "dataset",
    "voc",
    DATASETS,
    "voc: any folder in VOC layout; synthetic: drawn into --data_dir on first use.",
)
flags.DEFINE_string("data_dir", None, "Folder of the data set.", required=True)


def open_split(split):
    """Open a split of the data set of the flags.

    Returns:
      (list of `Example`, `LabelSet`, the colours of RGB labels or None).

    Raises:
      InputError: where the data set is not there or its lists are wrong.
    """
    examples, label_set = open_dataset(FLAGS.dataset, FLAGS.data_dir, split)
    return examples, label_set, read_colors(FLAGS.data_dir)
