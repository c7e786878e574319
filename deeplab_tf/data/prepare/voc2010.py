"""The images and lists of PASCAL VOC 2010, which several data sets annotate anew."""

from deeplab_tf.data.lists import read_entries
from deeplab_tf.data.prepare.archives import Archive

ARCHIVE = Archive(
    "VOCtrainval_03-May-2010.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
    "md5:da459979d0c395079b5c75ee67908abb",
)
FOLDER = "VOCdevkit/VOC2010"


def image_path(folder, name):
    """Path of an image in the archive's contents `folder`."""
    return folder / FOLDER / "JPEGImages" / f"{name}.jpg"


def read_main_lists(folder):
    """The names of all images, not only of the segmented ones.

    Args:
      folder: Path of the archive's contents.

    Returns:
      {"train": list of names, "val": list of names}, in the lists' order.

    Raises:
      InputError: as `read_entries`.
    """
    lists = folder / FOLDER / "ImageSets" / "Main"
    return {split: read_names(lists / f"{split}.txt") for split in ("train", "val")}


def read_names(path):
    """The names in a list file, one a line.

    Raises:
      InputError: as `read_entries`.
    """
    return [entry.name for entry in read_entries(path)]
