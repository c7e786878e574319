"""List the trained networks, or print the card of one.

    deeplab-tf models           # what there is, with scores and terms
    deeplab-tf models msrc21    # classes, scores of each class, training, terms, limits
    deeplab-tf models mine.npz  # the card of a network that `deeplab-tf pack` wrote
    deeplab-tf models voc12_mobilenetv2  # a released network: figure, terms, where it is kept

The first ones of the list come with the package. The others were released by the DeepLab authors,
or by a port; each is downloaded when it is first used. The last ones have no classes and are for
`deeplab-tf train --init_from`.

Every command with --model takes these names, and Python `deeplab_tf.load_pretrained("msrc21")`. A
file or model directory of that name in the working directory comes first; a folder that holds no
network, such as a data set's, does not.
"""

from pathlib import Path

from deeplab_tf.commands.card_text import (
    card_text,
    list_entry,
    released_entry,
    released_text,
    start_entry,
)
from deeplab_tf.commands.outputs import print_next
from deeplab_tf.errors import InputError
from deeplab_tf.models import find_model, is_released, is_start, load_card
from deeplab_tf.pretrained import pretrained_names
from deeplab_tf.pretrained.released import released_names, start_names

ARGUMENTS = "[NAME_OR_FILE]"


def define_flags(values):
    """Define the flags: this command has none."""


def main(flags, names):
    """Print the list, or the card of that name."""
    if len(names) > 1:
        raise InputError(f"unexpected argument {names[1]!r}; give one name")
    if names:
        (name,) = names
        if is_released(name):
            print(released_text(name))
            return
        if is_start(name):
            print(start_entry(name))
            return
        card = load_card(name)
        print(card_text(Path(name).name, card, find_model(name).stat().st_size).rstrip())
        return
    for name in pretrained_names():
        print(list_entry(name, load_card(name), find_model(name).stat().st_size), end="\n\n")
    for name in released_names():
        print(released_entry(name), end="\n\n")
    for name in start_names():
        print(start_entry(name), end="\n\n")
    first = (*pretrained_names(), *released_names())[0]
    print_next("predict", f"--model={first}", "--out_dir=labels", "IMAGE")
