"""The builders by the names of their data sets; a builder is imported only when it is asked for."""

import importlib

from deeplab_tf.errors import InputError

# Name of the data set: module in this package and class there.
BUILDERS = {
    "voc12": ("voc12", "Voc12"),
    "voc12_aug": ("voc12_aug", "Voc12Aug"),
    "pascal_context": ("pascal_context", "PascalContext"),
    "person_part": ("person_part", "PersonPart"),
    "cityscapes": ("cityscapes", "Cityscapes"),
    "coco_voc": ("coco_voc", "CocoVoc"),
    "camvid": ("camvid", "Camvid"),
    "folder": ("folder", "Folder"),
}


def find_builder(dataset):
    """The builder class of a data set.

    Args:
      dataset: its name, one of `BUILDERS`.

    Returns:
      A subclass of `SegmentationBuilder`.

    Raises:
      InputError: where there is no data set of this name.
    """
    if dataset not in BUILDERS:
        raise InputError(f"unknown dataset {dataset!r}; give one of {', '.join(BUILDERS)}")
    module, name = BUILDERS[dataset]
    return getattr(importlib.import_module(f"deeplab_tf.data.prepare.{module}"), name)
