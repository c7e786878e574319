"""The flags of the check that looks at the data before a training."""

from absl import flags

from deeplab_tf.data.checks import check_dataset

FLAGS = flags.FLAGS

flags.DEFINE_integer(
    "check_images",
    64,
    "Images of each list to check before the first step, evenly spaced; 0: all.",
    lower_bound=0,
)
flags.DEFINE_list(
    "allow_data", [], "Kinds of errors in the data to train on all the same; see check_data.py."
)


def check_splits(splits, label_set, colors):
    """Print a line for each kind of warning about the data, and stop at errors.

    Args:
      splits: dict from the name of a list to its examples, the one to train on first.
      label_set: `LabelSet`.
      colors: the classes' colours, for RGB labels, or None.

    Raises:
      InputError: where the data would spoil the training.
    """
    report = check_dataset(
        splits, label_set, colors, sample=FLAGS.check_images, allow=FLAGS.allow_data
    )
    for line in report.warning_lines():
        print(line)
    report.raise_for_errors()
