"""Look for what would spoil a training on a data set.

    python tools/check_data.py --dataset=voc --data_dir=D --picture_out=problems.png

prints the classes' shares and the problems, each with its remedy; the exit status is 1 where one
of them would spoil a training.
"""

import json

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
import data_flags  # noqa: F401  defines --dataset and --data_dir

from deeplab_tf.commands.output_files import check_output_files
from deeplab_tf.data.checks import accepted_kinds, check_dataset, offenders_picture, open_lists
from deeplab_tf.data.datasets import label_colors
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture

FLAGS = flags.FLAGS

flags.DEFINE_list("splits", ["train", "val"], "Lists to check, the one to train on first.")
flags.DEFINE_integer(
    "sample", 0, "Examples of each list to read, evenly spaced; 0: all.", lower_bound=0
)
flags.DEFINE_list(
    "allow_data",
    [],
    "Kinds of errors to take as warnings, as the table has them, beside what published data sets "
    "are known for.",
)
flags.DEFINE_string("picture_out", None, "PNG file for a picture of the first problems.")
flags.DEFINE_string("json_out", None, "File for the whole report, as JSON.")


def check():
    """Check the lists of the flags; a default list that is missing is only worth a warning."""
    if not FLAGS.splits:
        raise InputError("--splits names no list; give some, as --splits=train,val")
    optional = FLAGS.splits[1:] if FLAGS["splits"].using_default_value else ()
    place = FLAGS.dataset, FLAGS.data_dir
    splits, label_set, found = open_lists(*place, FLAGS.splits, optional)
    return check_dataset(
        splits,
        label_set,
        label_colors(*place),
        sample=FLAGS.sample,
        allow=[*accepted_kinds(FLAGS.dataset), *FLAGS.allow_data],
        known=found,
    )


def write_results(report):
    """Print the report, and write the files of --json_out and --picture_out."""
    print(report.text())
    if FLAGS.json_out:
        contents = json.dumps(report.to_dict(), indent=1)
        write_file(FLAGS.json_out, f"{contents}\n".encode())
    picture = offenders_picture(report) if FLAGS.picture_out else None
    if picture is not None:
        write_file(FLAGS.picture_out, encode_picture(picture))
        print(f"\npicture: {FLAGS.picture_out}")
    elif FLAGS.picture_out:
        print("\nno example to show: no picture written")


def main():
    """Check as the flags say."""
    check_output_files(FLAGS.json_out, FLAGS.picture_out)
    report = check()
    write_results(report)
    report.raise_for_errors(advice="all are listed above")


if __name__ == "__main__":
    run(main)
