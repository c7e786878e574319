"""The images that FCN and MIL-FCN were trained and scored on: SBD's, and VOC 2011's val.

    train  the 8,498 training images of the Semantic Boundaries Dataset (SBD), with SBD's labels
    val    the 736 images of VOC 2011's val that are not among them, with VOC's labels

The authors of FCN call the second list seg11valid. SBD's training list has many images of VOC's
val: do not score a network that was trained on it on the val of voc12 or voc12_aug.
"""

from typing import ClassVar

from deeplab_tf.data.lists import read_lines
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.voc12_aug import ARCHIVE as SBD_ARCHIVE
from deeplab_tf.data.prepare.voc12_aug import FOLDER as SBD_FOLDER
from deeplab_tf.data.prepare.voc12_aug import Voc12Aug, sbd_example
from deeplab_tf.data.voc import read_split

ARCHIVE = Archive(
    "VOCtrainval_25-May-2011.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2011/VOCtrainval_25-May-2011.tar",
    "md5:6c3384ef61512963050cb5d687e5bf1e",
)
FOLDER = "TrainVal/VOCdevkit/VOC2011"


class Voc11Sbd(Voc12Aug):
    """SBD's 8,498 training images, and the images of PASCAL VOC 2011's val not among them."""

    archives: ClassVar = {"voc": ARCHIVE, "sbd": SBD_ARCHIVE}
    expected: ClassVar = {"train": 8498, "val": 736}
    lists: ClassVar = {}

    def splits(self, folders):
        """SBD's list train, in its order, and what it leaves of VOC 2011's val."""
        voc, sbd = folders["voc"] / FOLDER, folders["sbd"] / SBD_FOLDER
        names = read_lines(sbd / "train.txt")
        in_train = set(names)
        return {
            "train": [sbd_example(name, voc, sbd) for name in names],
            "val": [one for one in read_split(voc, "val") if one.name not in in_train],
        }
