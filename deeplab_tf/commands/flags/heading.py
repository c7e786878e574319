"""Defines flags in groups, as --help shows them."""

from functools import partial
from types import SimpleNamespace

from absl import flags

from deeplab_tf.errors import InputError


def heading(values, title):
    """Make the functions that define flags under one heading of --help.

    Args:
      values: `absl.flags.FlagValues` that the flags are added to.
      title: the heading.

    Returns:
      Namespace of absl's DEFINE functions for `values`, by the type of the flag.

    Example:
      >>> define = heading(values, "CRF")
      >>> define.float("crf_w1", 4.0, "Weight of the bilateral kernel.")
    """
    group = {"flag_values": values, "module_name": title}
    return SimpleNamespace(
        bool=partial(flags.DEFINE_bool, **group),
        enum=partial(flags.DEFINE_enum, **group),
        float=partial(flags.DEFINE_float, **group),
        integer=partial(flags.DEFINE_integer, **group),
        list=partial(flags.DEFINE_list, **group),
        multi_string=partial(flags.DEFINE_multi_string, **group),
        string=partial(flags.DEFINE_string, **group),
    )


def refuse_given(values, names, reason):
    """Refuse flags that would have no effect.

    Args:
      values: the parsed flags.
      names: names of the flags to refuse.
      reason: rest of the message after the flag's name: why it is refused, and what to do.

    Raises:
      InputError: if one of them is given, on the command line or in a flagfile.
    """
    for name in names:
        if values[name].present:
            raise InputError(f"--{name} {reason}")
