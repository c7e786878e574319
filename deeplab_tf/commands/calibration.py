"""The images of --calibration_data, with which export --int8 measures the ranges of values."""

from pathlib import Path

import cv2
from tqdm import tqdm

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.data.datasets import PREPARED, open_dataset
from deeplab_tf.data.examples import Example, evenly_spaced
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.inputs import add_depth
from deeplab_tf.data.lists import IMAGE_EXTENSIONS
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError

_FLAGS = ("calibration_data", "calibration_split", "calibration_images", "int8_except")
# Longer side to which images are reduced for networks that do not say which size suits them.
_MAX_SIDE = 1000


def define_calibration_flags(values):
    """Define --int8 and --calibration_*."""
    define = heading(values, "Quantization")
    define.bool(
        "int8",
        False,
        "Compute the convolutions in 8 bits, for the formats openvino and litert; needs "
        "--calibration_data.",
    )
    define.list(
        "int8_except",
        [],
        "Convolutions that stay in float32, by their names in the network, such as fc8: where "
        "8 bits cost too much accuracy. For the format litert.",
    )
    define.string(
        "calibration_data",
        None,
        "Images of the kind that the network was trained on: the folder of a data set, of which "
        "--calibration_split is read, or any folder of images.",
    )
    define.string("calibration_split", "train", "List of the data set to take images of.")
    define.integer(
        "calibration_images", 100, "Number of images, spread evenly over the list.", lower_bound=1
    )


def find_calibration(flags):
    """The examples whose images --int8 uses, a list; None without --int8.

    Raises:
      InputError: if one of the flags is missing or has no effect, or there are no images.
    """
    if not flags.int8:
        refuse_given(flags, _FLAGS, "has no effect without --int8; add --int8")
        return None
    if flags.calibration_data is None:
        raise InputError(
            "--int8 needs --calibration_data=FOLDER, with images of the kind that the network was "
            "trained on"
        )
    where = flags.calibration_data, flags.calibration_split
    return calibration_examples(*where, flags.calibration_images, flags.input)


def calibration_examples(folder, split, count, input="rgb"):
    """Examples to calibrate with, spread evenly over a list.

    Args:
      folder: of a data set, or of images.
      split: name of the list of the data set.
      count: how many to take.
      input: value of the flag --input.

    Raises:
      InputError: if there are no images.
    """
    return evenly_spaced(_examples(Path(folder), split, input), count)


def load_calibration(examples, channels, max_side=None, image_size=None):
    """Read the images of examples.

    Args:
      examples: what `calibration_examples` gave.
      channels: of the model's images.
      max_side: longer side in pixels to which larger images are reduced, that of the network's
        card; None: 1,000.
      image_size: (height, width) in pixels to which all are resized instead; None: they are not.

    Returns:
      List of (H, W, channels) uint8.
    """
    bar = tqdm(examples, unit="image", desc="calibration images")
    images = (image_from(example.read()[0], example.image, channels) for example in bar)
    if image_size is None:
        return [shrink(image, max_side or _MAX_SIDE) for image in images]
    return [cv2.resize(x, image_size[::-1], interpolation=cv2.INTER_AREA) for x in images]


def _examples(folder, split, input):
    """The examples of a folder: of a list of its data set, or all images in it."""
    if not folder.is_dir():
        raise InputError(f"--calibration_data={folder}: no such folder; check the path")
    if (folder / "ImageSets").is_dir():
        return _with_depth("voc", folder, split, input)
    prepared = [name for name in PREPARED if (folder / name).is_dir()]
    if prepared:
        return _with_depth(prepared[0], folder, split, input)
    if input != "rgb":
        raise InputError(
            f"--calibration_data={folder}: not a data set, whose depth --input={input} needs; give "
            "one with depth"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS)
    if not paths:
        raise InputError(
            f"--calibration_data={folder}: neither a data set nor a folder of images; give the "
            "folder that the network was trained on"
        )
    return [Example(path.stem, str(path), "") for path in paths]


def _with_depth(dataset, folder, split, input):
    examples = open_dataset(dataset, folder, split, need_labels=False)[0]
    return add_depth(examples, input, dataset, folder)
