"""The flags of the check that looks at the data before a training."""

from absl import flags

from deeplab_tf.commands.flags import data_flags
from deeplab_tf.data.checks import accepted_kinds, check_dataset, same_list

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


def open_checked(names):
    """Open lists of the data set of the flags, and check them together.

    A line is printed for each kind of warning about the data.

    Args:
      names: of the lists, the one to train on first.

    Returns:
      (dict from the name of each list to its examples, `LabelSet`, the colours of RGB labels or
      None).

    Raises:
      InputError: where a list cannot be opened, or the data would spoil the training.
    """
    opened = {name: data_flags.open_split(name) for name in names}
    splits = {name: examples for name, (examples, *_) in opened.items()}
    _, label_set, colors = opened[names[0]]
    report = check_dataset(
        splits,
        label_set,
        colors,
        sample=FLAGS.check_images,
        allow=[*accepted_kinds(FLAGS.dataset), *FLAGS.allow_data],
        known=same_list(names),
    )
    for line in report.warning_lines():
        print(line)
    report.raise_for_errors()
    return splits, label_set, colors
