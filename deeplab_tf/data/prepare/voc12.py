"""PASCAL VOC 2012 segmentation."""

from typing import ClassVar

from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.voc import read_split

ARCHIVE = Archive(
    "VOCtrainval_11-May-2012.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    "sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    1999639040,
)
FOLDER = "VOCdevkit/VOC2012"


class Voc12(SegmentationBuilder):
    """PASCAL VOC 2012 segmentation: background and 20 kinds of objects, void at their borders."""

    label_set = VOC
    archives: ClassVar = {"voc": ARCHIVE}
    expected: ClassVar = {"train": 1464, "val": 1449}
    lists: ClassVar = {"trainval": ["train", "val"]}

    def splits(self, folders):
        """The lists train and val; an item is an `Example`."""
        return {split: read_split(folders["voc"] / FOLDER, split) for split in ("train", "val")}

    def load(self, item):
        """The image, and its label from the palette PNG."""
        label = load_label(item.label, self.label_set.num_classes)
        return Sample(item.name, item.image, label, item.label)
