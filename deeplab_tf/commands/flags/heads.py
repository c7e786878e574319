"""The flags of networks with several score heads."""

import re

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.models.score_heads import find_head, one_head, score_heads

_HEAD = re.compile(r"([A-Za-z][A-Za-z0-9_]*):(\d+)")


def define_heads_flag(values, title):
    """Define --heads.

    Args:
      values: `absl.flags.FlagValues` that the flag is added to.
      title: heading of the flag.
    """
    heading(values, title).list(
        "heads",
        [],
        "Score heads as NAME:CLASSES, such as semantic:33,geometric:3, each with its own labels of "
        "the images: those of the data set's label space NAME (SegmentationClass_NAME and "
        "classes_NAME.txt); one head may have those of SegmentationClass. Default: one head.",
    )


def define_head_name_flag(values):
    """Define --head_name."""
    heading(values, "Model").string(
        "head_name",
        None,
        "Of a network with several score heads, use only this one. Default: all, where the command "
        "can.",
    )


def read_heads(flags):
    """The heads of --heads, {name: number of classes}; {} without the flag.

    Raises:
      InputError: if they are written in another way.
    """
    found = {}
    for word in flags.heads if "heads" in flags else ():
        match = _HEAD.fullmatch(word.strip())
        if not match or not 2 <= int(match[2]) <= VOID or match[1] in found:
            raise InputError(
                f"--heads={','.join(flags.heads)}: {word!r} cannot be used; give NAME:CLASSES for "
                f"each head, each name once, with 2 to {VOID} classes, such as "
                "semantic:33,geometric:3"
            )
        found[match[1]] = int(match[2])
    return found


def check_heads_flags(flags):
    """Raise `InputError` for flags of a training or a data check that --heads cannot have."""
    if not read_heads(flags):
        return
    if flags.objective == "depth":
        raise InputError("--objective=depth predicts depth, not classes; leave out --heads")
    if flags.objective != "pixels":
        raise InputError(
            f"--objective={flags.objective} is for one label space; leave out --heads, or train on "
            "pixels"
        )


def choose_head(flags, model, all_heads):
    """The network of --head_name, or the whole one.

    Args:
      flags: the parsed flags.
      model: Keras model.
      all_heads: whether the command can use several heads at once.

    Returns:
      A Keras model with one head, or with `all_heads` and without --head_name `model`.

    Raises:
      InputError: if there is no such head, or one must be chosen.
    """
    heads = score_heads(model)
    if not is_chosen(flags, heads, all_heads):
        return model
    return one_head(model, flags.head_name)


def is_chosen(flags, heads, all_heads):
    """Whether one of a network's heads is chosen by --head_name.

    Args:
      flags: the parsed flags.
      heads: what `score_heads` gives.
      all_heads: see `choose_head`.

    Raises:
      InputError: as `choose_head`.
    """
    if heads and "runner" in flags and flags.runner == "ray":
        raise InputError(
            f"{flags.model}: has the score heads {', '.join(heads)}, but --runner=ray takes "
            "networks with one; leave it out"
        )
    if flags.head_name is None and (all_heads or not heads):
        return False
    try:
        find_head(heads, flags.head_name, f"the model {flags.model}")
    except InputError as error:
        raise InputError(f"--head_name: {error}") from None
    return True


def refuse_of_one_head(flags, names, heads):
    """Raise `InputError` for flags that need a single label space, unless they are as by default.

    Args:
      flags: the parsed flags.
      names: of such flags.
      heads: names of the network's heads.
    """
    for name in names:
        if flags[name].value != flags[name].default:
            raise InputError(
                f"--{name} is for one label space, but {flags.model} has the score heads "
                f"{', '.join(heads)}; choose one by --head_name"
            )
