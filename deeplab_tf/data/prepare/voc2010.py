"""The images and lists of PASCAL VOC 2010, for which others have published more annotations."""

from deeplab_tf.data.examples import Example
from deeplab_tf.data.lists import read_entries
from deeplab_tf.data.prepare.archives import Archive

ARCHIVE = Archive(
    "VOCtrainval_03-May-2010.tar",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
    "md5:da459979d0c395079b5c75ee67908abb",
)
FOLDER = "VOCdevkit/VOC2010"


def annotated_splits(voc, annotations, train_list=None, val_list=None):
    """All images of VOC 2010, not only those with VOC's own segmentation, with other annotations.

    Args:
      voc: Path of the contents of VOC 2010's archive.
      annotations: Path of a folder of annotations, NAME.mat.
      train_list, val_list: paths of lists of names, one per line; None: VOC's own lists,
        ImageSets/Main/{train,val}.txt.

    Returns:
      {"train": list of `Example`, "val": list of `Example`}, in the order of the lists. The
      files need not exist.

    Raises:
      InputError: as `read_entries`.
    """
    folder = voc / FOLDER
    return {
        split: [
            Example(
                entry.name,
                folder / "JPEGImages" / f"{entry.name}.jpg",
                annotations / f"{entry.name}.mat",
            )
            for entry in read_entries(path or folder / "ImageSets" / "Main" / f"{split}.txt")
        ]
        for split, path in (("train", train_list), ("val", val_list))
    }
