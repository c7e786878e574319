"""The flags of the data check that comes before training."""

from deeplab_tf.commands.flags.data import image_channels, open_split
from deeplab_tf.commands.flags.depth import open_depth
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.data.checks import accepted_kinds, check_dataset, same_list
from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels


def define_check_flags(values):
    """Define --check_images and --allow_data."""
    define = heading(values, "Data check")
    define.integer(
        "check_images",
        64,
        "Number of images of each list to check before the first step, evenly spaced; 0: all.",
        lower_bound=0,
    )
    define.list(
        "allow_data",
        [],
        "Kinds of problems in the data to accept with a warning; check-data prints the kinds.",
    )


def open_checked(flags, names):
    """Open lists of the data set and check them together; print a line for each warning.

    Args:
      flags: the parsed flags.
      names: of the lists, the one to train on first.

    Returns:
      (dict from the name of each list to its examples, `LabelSet`, `LabelEncoding` or None); with
      --objective=depth the examples are `DepthTarget`.

    Raises:
      InputError: if a list cannot be opened, or the data would ruin training.
    """
    of_depth = learns_depth(flags)

    def open_list(name):
        return (*open_depth(flags, name), None) if of_depth else open_split(flags, name)

    opened = {names[0]: open_list(names[0])}
    for name in names[1:]:
        try:
            opened[name] = open_list(name)
        except InputError as error:
            raise InputError(f"{error}; or train without validation: --eval_images=0") from None
    splits = {name: examples for name, (examples, *_) in opened.items()}
    _, label_set, encoding = opened[names[0]]
    for part in label_spaces_of(splits, label_set, encoding):
        report = check_dataset(
            *part,
            channels=image_channels(flags),
            sample=flags.check_images,
            allow=[*accepted_kinds(flags.dataset), *flags.allow_data],
            known=same_list(names),
        )
        for line in report.warning_lines():
            print(line)
        report.raise_for_errors()
    return splits, label_set, encoding


def label_spaces_of(splits, label_set, encoding):
    """What `check_dataset` takes, for each score head, or for a network with one head.

    Args:
      splits: dict from the name of each list to its examples.
      label_set: `LabelSet`, or `HeadLabels` of `HeadsExample`s.
      encoding: `LabelEncoding`, or None.

    Returns:
      List of (splits, label_set, encoding).
    """
    if not isinstance(label_set, HeadLabels):
        return [(splits, label_set, encoding)]
    first = next(iter(splits.values()))[0]
    return [
        (
            {name: [each.parts[index] for each in examples] for name, examples in splits.items()},
            one,
            first.encodings[index],
        )
        for index, one in enumerate(label_set.label_sets)
    ]
