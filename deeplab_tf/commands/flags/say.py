"""Prints what a command takes from elsewhere than its flags."""

from deeplab_tf.distribute.cluster import read_cluster


def say(flags, text):
    """Print a line; of several workers only the first one does.

    Args:
      flags: the parsed flags.
      text: the line.
    """
    is_other = "strategy" in flags and flags.strategy == "multi_worker" and read_cluster().index
    if not is_other:
        print(text, flush=True)
