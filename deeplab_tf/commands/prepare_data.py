"""Prepare a data set from its authors' archives, for training and evaluation.

    python tools/prepare_data.py --dataset=voc12_aug --download_dir=downloads --data_dir=data

writes TFRecord files into data/voc12_aug, once every example is checked. Archives are taken from
--manual_dir, or downloaded. Stopped at any point, the same command goes on: what is downloaded and
extracted is kept in --download_dir, and may be deleted when all is prepared. Where that was done
before, it only sees that the files are whole and would be made of the same again; --overwrite
makes them anew.
"""

import shlex
from pathlib import Path

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from deeplab_tf.data.checks import accepted_kinds, check_dataset, open_lists
from deeplab_tf.data.datasets import PREPARED
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.records import prepared_splits
from deeplab_tf.errors import InputError

FLAGS = flags.FLAGS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

flags.DEFINE_enum("dataset", None, list(PREPARED), "Which data set.", required=True)
flags.DEFINE_string(
    "download_dir", "downloads", "Folder for what is downloaded and extracted; needs much room."
)
flags.DEFINE_string("data_dir", None, "Folder for the prepared data.", required=True)
flags.DEFINE_string("manual_dir", None, "Folder of archives that you have downloaded yourself.")
flags.DEFINE_bool(
    "trust_archives",
    False,
    "Take archives that are not the originals: any checksum, any number of images.",
)
flags.DEFINE_bool(
    "overwrite", False, "Prepare anew what is there already; it is replaced when that is done."
)
flags.DEFINE_list(
    "allow_data", [], "Kinds of errors in the data to accept; see tools/check_data.py."
)

OPTIONS = [
    flags.DEFINE_integer(
        "sbd_void_border",
        0,
        "voc12_aug: make the labels of SBD void so many pixels to both sides of each border; 2 "
        "is about what VOC's have. Paper: 0.",
    ),
    flags.DEFINE_integer(
        "min_pixels",
        1000,
        "coco_voc: leave out images with fewer labelled pixels of objects.",
        lower_bound=0,
    ),
    flags.DEFINE_enum(
        "camvid_form",
        "colors",
        ["colors", "indices"],
        "camvid: the authors' 960x720 images and 32 colors, or the SegNet tutorial's 480x360 "
        "images and 12 indices.",
    ),
    flags.DEFINE_string("images_dir", None, "folder: the images, JPEG or PNG."),
    flags.DEFINE_string("labels_dir", None, "folder: the labels, PNGs named as their images."),
    flags.DEFINE_string(
        "classes",
        None,
        "folder: file that lists the classes, a name a line, with colors or without.",
    ),
    flags.DEFINE_string(
        "train_list", None, "folder, person_part: file that lists the training images."
    ),
    flags.DEFINE_string(
        "val_list", None, "folder, person_part: file that lists the validation images."
    ),
    flags.DEFINE_float(
        "val_fraction", None, "folder: instead of lists, share of the images for validation."
    ),
    flags.DEFINE_string("voc_dir", None, "folder: instead of all these, a set in VOC layout."),
]


def verify(data_dir):
    """Check every example of what was written, before it gets its name.

    Raises:
      InputError: where it would spoil a training; nothing is kept then.
    """
    splits, label_set, found = open_lists(
        FLAGS.dataset, data_dir, prepared_splits(data_dir, FLAGS.dataset)
    )
    allowed = [*accepted_kinds(FLAGS.dataset), *FLAGS.allow_data]
    report = check_dataset(splits, label_set, allow=allowed, known=found)
    # The folder that the messages name is gone when they are read.
    place = f"{data_dir}/"
    for line in report.warning_lines():
        print(line.replace(place, ""))
    try:
        report.raise_for_errors(advice="--allow_data=KIND accepts them")
    except InputError as error:
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in report.errors))
        raise InputError(f"nothing is kept: {str(error).replace(place, '')} ({kinds})") from None


def print_result(prepared):
    """Print the lists with their numbers of images, and how to train with them."""
    width = max(len(name) for name in prepared.counts)
    print(f"{prepared.folder}: {'prepared' if prepared.is_new else 'was prepared before'}")
    for name, count in prepared.counts.items():
        print(f"  {name:{width}}  {count:6d} images")
    if has_published_systems(FLAGS.dataset):
        print("with the settings of the published systems: see docs/systems.md; otherwise:")
    print(training_command(FLAGS.dataset, FLAGS.data_dir, prepared.counts))


def has_published_systems(dataset):
    """Whether a flagfile in configs/ is for this data set."""
    line = f"--dataset={dataset}"
    return any(line in path.read_text().splitlines() for path in CONFIGS.glob("*.flags"))


def training_command(dataset, data_dir, lists):
    """The command that trains on a prepared data set with these lists, as the shell takes it."""
    flags_given = {
        "dataset": dataset,
        "data_dir": data_dir,
        "train_split": "train_aug" if "train_aug" in lists else "train",
        "model_dir": f"runs/{dataset}",
    }
    if "val" not in lists:
        flags_given["eval_images"] = 0  # there is nothing to validate on
    arguments = [f"--{name}={value}" for name, value in flags_given.items()]
    return shlex.join(["python", "tools/train.py", *arguments])


def main():
    """Prepare the data set of the flags."""
    options = {option.name: option.value for option in OPTIONS if option.present}
    prepared = prepare(
        FLAGS.dataset,
        FLAGS.download_dir,
        FLAGS.data_dir,
        manual_dir=FLAGS.manual_dir,
        options=options,
        trust_archives=FLAGS.trust_archives,
        verify=verify,
        overwrite=FLAGS.overwrite,
    )
    print_result(prepared)


if __name__ == "__main__":
    run(main)
