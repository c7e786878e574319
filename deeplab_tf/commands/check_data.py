"""Look for problems in a data set that would ruin training.

    deeplab-tf check-data --dataset=voc --data_dir=D --picture_out=problems.png

prints the classes' shares of the pixels and the problems, each with its remedy; the exit status
is 1 if one of them would ruin training.
"""

import json

from deeplab_tf.commands.flags.data import define_data_flags, image_channels
from deeplab_tf.commands.flags.depth import check_color_input
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.commands.outputs import (
    as_given,
    check_output_files,
    print_next,
    print_written,
    training_flags,
)
from deeplab_tf.data.checks import accepted_kinds, check_dataset, offenders_picture, open_lists
from deeplab_tf.data.datasets import label_encoding
from deeplab_tf.data.depth_targets import depth_targets
from deeplab_tf.data.inputs import add_depth
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture


def define_flags(values):
    """Define the flags of a data check."""
    define_data_flags(values, with_input=True)
    define = heading(values, "Check")
    define.enum(
        "objective",
        "pixels",
        ["pixels", "depth"],
        "What is to be trained, as for train: the classes of the labels; or the depth, for which "
        "every image needs a depth map and no label.",
    )
    define.integer("channels", 3, "Channels that the images should have.", lower_bound=3)
    define.list("splits", ["train", "val"], "Lists to check, the one to train on first.")
    define.integer(
        "sample",
        0,
        "Number of examples of each list to read, evenly spaced; 0: all.",
        lower_bound=0,
    )
    define.list(
        "allow_data",
        [],
        "Kinds of errors to count as warnings, as the report names them. Those that a published "
        "data set is known to have are always warnings.",
    )
    define = heading(values, "Output")
    define.string("picture_out", None, "PNG file for a picture of the first problems.")
    define.string("json_out", None, "File for the whole report, as JSON.")


def main(flags):
    """Check the lists, and report."""
    check_output_files(flags.json_out, flags.picture_out)
    report = check(flags)
    print(report.text())
    if flags.json_out:
        contents = json.dumps(report.to_dict(), indent=1)
        write_file(flags.json_out, f"{contents}\n".encode())
    if flags.picture_out:
        picture = offenders_picture(report)
        if picture is None:
            print("\nno example to show: no picture written")
        else:
            write_file(flags.picture_out, encode_picture(picture))
            print(f"\npicture: {flags.picture_out}")
    print_written(flags.json_out)
    report.raise_for_errors(advice="all are listed above")
    val_split = next((split for split in flags.splits[1:] if split in report.counts), None)
    train_split = flags.splits[0]
    place, listed = (flags.dataset, flags.data_dir), report.counts[train_split].listed
    data = training_flags(*place, train_split, val_split, listed)
    names = "objective", "input", "channels", "allow_data"
    print_next("train", *data, *as_given(flags, *names))


def check(flags):
    """The report on the lists of --splits; if a default list is missing, that is a warning."""
    if not flags.splits:
        raise InputError("--splits names no list; give some, such as --splits=train,val")
    optional = flags.splits[1:] if flags["splits"].using_default_value else ()
    place = flags.dataset, flags.data_dir
    of_depth = learns_depth(flags)
    splits, label_set, found = open_lists(*place, flags.splits, optional, not of_depth)
    if of_depth:
        check_color_input(flags)
        splits = {split: depth_targets(part, *place, False) for split, part in splits.items()}
    else:
        splits = {
            split: add_depth(examples, flags.input, *place, must_exist=False)
            for split, examples in splits.items()
        }
    return check_dataset(
        splits,
        label_set,
        label_encoding(*place),
        channels=image_channels(flags),
        sample=flags.sample,
        allow=[*accepted_kinds(flags.dataset), *flags.allow_data],
        known=found,
    )
