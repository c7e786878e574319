"""PASCAL VOC 2012 segmentation."""

from typing import ClassVar

from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.voc import read_split

ARCHIVE = Archive(
    "VOCtrainval_11-May-2012.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    "sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    1999639040,
)
FOLDER = "VOCdevkit/VOC2012"


class Voc12(Builder):
    """PASCAL VOC 2012 segmentation: background and 20 kinds of objects, void at their borders."""

    archives: ClassVar = {"voc": ARCHIVE}
    expected: ClassVar = {"train": 1464, "val": 1449}

    def splits(self, folders):
        """The lists train and val."""
        return {split: read_split(folders["voc"] / FOLDER, split) for split in ("train", "val")}
