"""Prepare a data set from its authors' archives, for training and evaluation.

    deeplab-tf prepare-data --dataset=voc12_aug --download_dir=downloads --data_dir=data

checks every example and writes TFRecord files into data/voc12_aug. Archives are taken from
--manual_dir, or downloaded. If the command is stopped, the same command continues: downloaded and
extracted files are kept in --download_dir. They may be deleted when the data set is prepared. If
the data set is prepared already, the command only checks that its files are complete and were made
with the same options; --overwrite makes them again.
"""

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.outputs import (
    as_given,
    command_line,
    has_published_systems,
    print_next,
    training_flags,
)
from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.data.checks import accepted_kinds, check_dataset, open_lists
from deeplab_tf.data.datasets import PREPARED, dataset_camera, further_spaces
from deeplab_tf.data.inputs import add_depth
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.records import prepared_splits
from deeplab_tf.errors import InputError

VOID_KINDS = {"void_object", "void_only"}  # errors that are none if 255 is void as it should be
OPTIONS = "Options of single data sets"  # the heading of the flags that a builder takes


def define_flags(values):
    """Define the flags of prepare-data."""
    define = heading(values, "Data set")
    define.enum("dataset", None, list(PREPARED), "The data set to prepare.", required=True)
    define.string("data_dir", None, "Folder for the prepared data.", required=True)
    define.string(
        "download_dir",
        "downloads",
        "Folder for downloaded and extracted files, which can take much space.",
    )
    define.string("manual_dir", None, "Folder of archives that you have downloaded yourself.")
    define.bool(
        "trust_archives",
        False,
        "Accept archives that are not the originals, with any checksum and number of images.",
    )
    define.bool(
        "overwrite",
        False,
        "Prepare a data set again; the old one is replaced when the new one is complete.",
    )
    define.list(
        "allow_data",
        [],
        "Kinds of errors in the data to accept with a warning; check-data prints the kinds.",
    )
    _define_options(heading(values, OPTIONS))


def _define_options(define):
    define.integer(
        "sbd_void_border",
        0,
        "voc12_aug, voc11_sbd: width of the void on each side of every border in SBD's labels, in "
        "pixels; 2 is about the width in VOC's labels. Paper: 0.",
    )
    define.integer(
        "min_pixels",
        1000,
        "coco_voc: leave out images with fewer pixels labeled as objects.",
        lower_bound=0,
    )
    define.enum(
        "camvid_form",
        "colors",
        ["colors", "indices"],
        "camvid: the authors' 960x720 images with 32 colors, or the SegNet tutorial's 480x360 "
        "images with 12 indices.",
    )
    define.string(
        "lists_dir",
        None,
        "msrc21: folder of TextonBoost's lists, Train.txt, Validation.txt and Test.txt. Default: "
        "images are divided by the last digit of their number; odd: train, 0: val, others: test.",
    )
    define.string(
        "outlines_dir",
        None,
        "msrc21: folder of the cleaned outlines of Malisiewicz and Efros, NAME_GT.mat, to use in "
        "place of the authors' labels.",
    )
    define.string(
        "nyu_dir",
        None,
        "nyudv2: folder of nyu_depth_v2_labeled.mat, classMapping40.mat, and nyusplits.mat or "
        "splits.mat.",
    )
    define.bool(
        "nyu_crop",
        True,
        "nyudv2: leave out the white frame of the images: 560x425 of 640x480 pixels; paper: yes.",
    )
    define.string(
        "siftflow_dir",
        None,
        "siftflow: folder SiftFlowDataset with Images, SemanticLabels, GeoLabels and TestSet1.txt.",
    )
    define.string("images_dir", None, "folder: folder of the images: JPEG, PNG, TIFF, BMP or WebP.")
    define.string(
        "labels_dir",
        None,
        "folder: folder of the labels, with the names of their images: PNG, TIFF, BMP or lossless "
        "WebP.",
    )
    define.string(
        "label_suffix",
        None,
        "folder: what the labels' names have in addition to those of their images, such as _mask "
        "if X_mask.png is the label of X.jpg.",
    )
    define.string(
        "classes",
        None,
        "folder: file with the name of a class on each line, with or without its color; a line "
        "that ends with 'void' is ignored.",
    )
    define.string(
        "train_list", None, "folder, person_part: file with the names of the training images."
    )
    define.string(
        "val_list", None, "folder, person_part: file with the names of the validation images."
    )
    define.float(
        "val_fraction", None, "folder: share of the images for validation, instead of two lists."
    )
    define.string(
        "voc_dir",
        None,
        "folder: a data set in VOC layout, with its further label spaces, depth maps and camera; "
        "the other folder options are then left out.",
    )
    define.integer(
        "max_side",
        None,
        "folder: reduce images whose longer side has more pixels to this length, and their labels; "
        "give predict --max_side the same number later.",
        lower_bound=1,
    )


def main(flags):
    """Prepare the data set of the flags."""
    options = {
        flag.name: flag.value for flag in flags.flags_by_module_dict()[OPTIONS] if flag.present
    }
    prepared = prepare(
        flags.dataset,
        flags.download_dir,
        flags.data_dir,
        manual_dir=flags.manual_dir,
        options=options,
        trust_archives=flags.trust_archives,
        verify=lambda folder: verify(flags, folder),
        overwrite=flags.overwrite,
    )
    width = max(len(name) for name in prepared.counts)
    print(f"{prepared.folder}: {'prepared' if prepared.is_new else 'already prepared'}")
    for name, count in prepared.counts.items():
        print(f"  {name:{width}}  {count:6d} images")
    if has_published_systems(flags.dataset):
        print("`deeplab-tf configs` lists the published systems; to train with your own settings:")
    lists = prepared.counts
    train_split = next(name for name in ("train_aug", "train", "trainval") if name in lists)
    # Of lists trainval and test alone, as of NYU Depth v2, papers validate on the second.
    val_split = "val" if "val" in lists else "test" if train_split == "trainval" else None
    place = flags.dataset, flags.data_dir
    data = training_flags(*place, train_split, val_split, lists[train_split])
    print_next("train", *data, *as_given(flags, "allow_data"))


def verify(flags, data_dir):
    """Check every example that was written, before the data set gets its name.

    Raises:
      InputError: if an example would ruin training; then nothing is kept.
    """
    for space in ("", *further_spaces(flags.dataset, data_dir)):
        verify_space(flags, data_dir, space)


def verify_space(flags, data_dir, space):
    """Check every example that was written in one label space; see `open_dataset`."""
    splits, label_set, found = open_lists(
        flags.dataset, data_dir, prepared_splits(data_dir, flags.dataset), space=space
    )
    if dataset_camera(flags.dataset, data_dir):
        splits = {
            split: add_depth(examples, "rgbd", flags.dataset, data_dir)
            for split, examples in splits.items()
        }
    allowed = [*accepted_kinds(flags.dataset), *flags.allow_data]
    report = check_dataset(splits, label_set, allow=allowed, known=found)
    # The messages name files in a temporary folder, which is gone when the user reads them.
    place = f"{data_dir}/"
    for line in report.warning_lines():
        print(line.replace(place, ""))
    try:
        report.raise_for_errors(advice="--allow_data=KIND accepts them")
    except InputError as error:
        kinds = list(dict.fromkeys(finding.kind for finding in report.errors))
        message = f"data set not written: {str(error).replace(place, '')} ({', '.join(kinds)})"
        if set(kinds) <= VOID_KINDS:  # a question, which only the owner of the data can answer
            allow = ",".join([*flags.allow_data, *kinds])
            given = [word for word in given_flags(flags) if not word.startswith("--allow_data=")]
            accept = command_line("prepare-data", *given, f"--allow_data={allow}")
            message += f"; to accept it: {accept}"
        raise InputError(message) from None
