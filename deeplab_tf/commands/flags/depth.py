"""What the flags mean for networks that predict depth, and which of them are refused."""

from deeplab_tf.commands.flags.heading import refuse_given
from deeplab_tf.commands.flags.model import checked_scales
from deeplab_tf.commands.flags.scales import read_scales
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.depth_targets import depth_targets
from deeplab_tf.errors import InputError


def check_depth_flags(flags):
    """Raise `InputError` for flags of a training that make no sense for depth."""
    check_color_input(flags)
    for name in ("scales", "test_scales"):
        if flags[name].present and read_scales(flags, name) != (1.0,):
            raise InputError(
                f"--{name} keeps the highest scores of the classes; leave it out with "
                "--objective=depth, which has no classes"
            )


def check_color_input(flags):
    """Raise `InputError` if the network would see the depth that it is to predict."""
    if flags.input != "rgb":
        raise InputError(
            f"--input={flags.input} shows the network the depth that it is to predict; leave it out"
        )


def open_depth(flags, split):
    """Open a list of a data set with depth.

    Args:
      flags: the parsed flags.
      split: name of the list of examples, which need no labels.

    Returns:
      (list of `DepthTarget`, `LabelSet` of the data set).

    Raises:
      InputError: if the data set is missing, its lists are wrong, or it has no depth.
    """
    examples, label_set = open_dataset(flags.dataset, flags.data_dir, split, need_labels=False)
    return depth_targets(examples, flags.dataset, flags.data_dir), label_set


def depth_settings(flags, unused):
    """The settings of `predict_depth` in the flags.

    Args:
      flags: the parsed flags of a command that applies a network for depth.
      unused: names of its flags that are about classes.

    Raises:
      InputError: if a flag makes no sense for depth.
    """
    refuse_given(flags, unused, f"has no effect: {flags.model} predicts depth, not classes")
    if flags.runner == "ray":
        raise InputError("--runner=ray labels images with classes, not depth; leave it out")
    check_color_input(flags)
    if checked_scales(flags) != (1.0,):
        raise InputError(
            f"--scales keeps the highest scores of the classes, but {flags.model} predicts depth; "
            "leave it out"
        )
    return {"flip": flags.flip, "tile": flags.tile, "pad_to": flags.pad_to}
