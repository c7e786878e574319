import numpy as np
import pytest
from tiny_archives import gradient, jpeg, label_of, pack, read_back, stripes, voc_files, write_sbd

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare import prepare, voc11_sbd
from deeplab_tf.data.prepare.voc11_sbd import Voc11Sbd
from deeplab_tf.errors import InputError

# "in_val" is in VOC's val and in SBD's train, "apart" in VOC's val and in SBD's val.
VOC_NAMES = {
    "train": {"in_train": stripes([0, 255, 3])},
    "val": {"only": stripes([6, 0]), "in_val": stripes([5, 255]), "apart": stripes([4, 255, 1])},
}
SBD_LABELS = {
    "z_first": stripes([7, 0]),
    "in_val": stripes([9, 0]),
    "in_train": stripes([8, 9]),
    "apart": stripes([0, 10, 20]),
}
SBD_TRAIN = ["z_first", "in_val", "in_train"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(images of VOC, images of SBD, `Prepared`), which no test may change."""
    folder = tmp_path_factory.mktemp("voc11_sbd")
    sbd_images = {name: jpeg(gradient(seed)) for seed, name in enumerate(SBD_LABELS, 100)}
    write_sbd(folder / "manual", SBD_LABELS, train=SBD_TRAIN, images=sbd_images)
    files, images = voc_files(VOC_NAMES, root=voc11_sbd.FOLDER)
    pack(folder / "manual" / voc11_sbd.ARCHIVE.file_name, files)
    places = (folder / name for name in ("down", "data", "manual"))
    return images, sbd_images, prepare("voc11_sbd", *places, trust_archives=True)


def test_lists(prepared):
    done = prepared[2]
    assert done.counts == {"train": 3, "val": 2}
    for split, names in (("train", SBD_TRAIN), ("val", ["only", "apart"])):
        examples, label_set = open_dataset("voc11_sbd", done.folder.parents[1], split)
        assert [example.name for example in examples] == names and label_set == VOC


def test_train_has_the_labels_of_sbd_and_val_those_of_voc(prepared):
    folder = prepared[2].folder
    for record, name in zip(read_back(folder, "train"), SBD_TRAIN, strict=True):
        np.testing.assert_array_equal(label_of(record), SBD_LABELS[name])
    for record, name in zip(read_back(folder, "val"), ("only", "apart"), strict=True):
        np.testing.assert_array_equal(label_of(record), VOC_NAMES["val"][name])


def test_images_come_from_voc_or_else_from_sbd(prepared):
    images, sbd_images, done = prepared
    expected = [sbd_images["z_first"], images["in_val"], images["in_train"]]
    assert [record["image"] for record in read_back(done.folder, "train")] == expected


def test_the_original_has_as_many_images_as_the_authors_used():
    assert Voc11Sbd.expected == {"train": 8498, "val": 736}
    with pytest.raises(InputError, match="--sbd_void_border=-1: give 0 or more"):
        Voc11Sbd("voc11_sbd", {"sbd_void_border": -1})
