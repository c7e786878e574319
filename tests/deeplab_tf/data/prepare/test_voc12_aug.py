import json
import shutil

import numpy as np
import pytest
from tiny_archives import (
    gradient,
    jpeg,
    label_of,
    read_all,
    read_back,
    sbd_mat,
    stripes,
    write_sbd,
    write_voc12,
)

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.prepare import prepare, voc12_aug
from deeplab_tf.data.prepare.voc12_aug import Voc12Aug, load_sbd_label, void_borders
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# Of SBD's images: "both" is in VOC's train, "held" in VOC's val, the others are its own.
VOC_NAMES = {
    "train": {"both": stripes([0, 255, 3]), "voc_only": stripes([4, 0])},
    "val": {"held": stripes([5, 255]), "held_too": stripes([6, 0])},
}
SBD_LABELS = {
    "z_train": stripes([7, 0]),
    "both": stripes([8, 9]),
    "held": stripes([9, 0]),
    "a_val": stripes([0, 10, 20]),
}
SBD_IMAGES = {name: jpeg(gradient(seed)) for seed, name in enumerate(SBD_LABELS, 100)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder of everything, images of VOC, `Prepared`), which no test may change."""
    folder = tmp_path_factory.mktemp("voc12_aug")
    write_sbd(folder / "manual", SBD_LABELS, train=["z_train", "held"], images=SBD_IMAGES)
    images = write_voc12(folder / "manual", VOC_NAMES)
    return folder, images, run(folder)


def run(folder, **options):
    folders = (folder / name for name in ("down", "data", "manual"))
    return prepare("voc12_aug", *folders, options=options, trust_archives=True)


def contents(folder):
    """The contents of the extracted archives, {key: Path}."""
    extracted = folder / "down" / "extracted"
    names = {"voc": voc12_aug.VOC_ARCHIVE.file_name, "sbd": voc12_aug.ARCHIVE.file_name}
    return {key: next(extracted.glob(f"{name}.*")) for key, name in names.items()}


# Void at borders


def test_border_of_one_row():
    label = np.array([[0, 0, 0, 7, 7, 7]], np.uint8)
    np.testing.assert_array_equal(void_borders(label, 0), label)
    np.testing.assert_array_equal(void_borders(label, 1), [[0, 0, 255, 255, 7, 7]])
    np.testing.assert_array_equal(void_borders(label, 2), [[0, 255, 255, 255, 255, 7]])


def test_border_around_a_pixel():
    label = np.zeros((5, 5), np.uint8)
    label[2, 2] = 3
    expected = np.zeros((5, 5), np.uint8)
    expected[1:4, 1:4] = VOID
    np.testing.assert_array_equal(void_borders(label, 1), expected)


def test_no_border_at_the_edge_of_the_image():
    label = np.full((4, 6), 20, np.uint8)
    np.testing.assert_array_equal(void_borders(label, 3), label)


# SBD's files


def test_class_map(tmp_path):
    path = tmp_path / "name.mat"
    path.write_bytes(sbd_mat(SBD_LABELS["a_val"]))
    label = load_sbd_label(path)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, SBD_LABELS["a_val"])


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"MATLAB 5.0", "cut off or damaged"),
        (sbd_mat(stripes([0, 21])), "class 21; SBD has 0..20"),
        (sbd_mat(stripes([0, 1]) + 0.5), "class 0.5; SBD has 0..20"),
    ],
)
def test_other_files(tmp_path, contents, message):
    path = tmp_path / "name.mat"
    path.write_bytes(contents)
    with pytest.raises(InputError, match=f"name.mat: {message}"):
        load_sbd_label(path)


# The whole data set


def test_lists(prepared):
    folder, _, done = prepared
    assert done.counts == {
        "train": 2,
        "sbd": 2,
        "val": 2,
        "trainval": 4,
        "train_aug": 4,
        "trainval_aug": 6,
    }
    names = {}
    for split in ("train", "train_aug", "val", "trainval_aug"):
        examples, _ = open_dataset("voc12_aug", folder / "data", split)
        names[split] = [example.name for example in examples]
    assert names["train_aug"] == ["both", "voc_only", "a_val", "z_train"]
    assert names["val"] == ["held", "held_too"]
    assert not set(names["train_aug"]) & set(names["val"])
    assert sorted(names["trainval_aug"]) == sorted(names["train_aug"] + names["val"])


def test_labels_of_voc_are_preferred_to_those_of_sbd(prepared):
    folder = prepared[2].folder
    train, sbd = read_back(folder, "train"), read_back(folder, "sbd")
    np.testing.assert_array_equal(label_of(train[0]), VOC_NAMES["train"]["both"])
    for record in sbd:
        name = record["name"].decode()
        np.testing.assert_array_equal(label_of(record), SBD_LABELS[name])


def test_images_come_from_voc_or_else_from_sbd(prepared):
    _, images, done = prepared
    assert read_back(done.folder, "train")[0]["image"] == images["both"] != SBD_IMAGES["both"]
    assert read_back(done.folder, "sbd")[1]["image"] == SBD_IMAGES["z_train"]


def test_only_sbd_labels_get_a_void_border(prepared):
    builder = Voc12Aug("voc12_aug", {"sbd_void_border": 2})
    labels = read_all(builder, contents(prepared[0]))
    for name, label in labels["sbd"].items():
        np.testing.assert_array_equal(label, void_borders(SBD_LABELS[name], 2))
        assert (label == VOID).any()
    np.testing.assert_array_equal(labels["train"]["voc_only"], VOC_NAMES["train"]["voc_only"])


def test_another_border_than_before(prepared):
    folder, _, done = prepared
    assert json.loads((done.folder / "metadata.json").read_text())["options"] == {
        "sbd_void_border": 0
    }
    message = "was prepared with sbd_void_border=0, not 2; give --overwrite"
    with pytest.raises(InputError, match=message):
        run(folder, sbd_void_border=2)
    assert run(folder).is_new is False
    with pytest.raises(InputError, match="--sbd_void_border=-1: give 0 or more"):
        run(folder, sbd_void_border=-1)


@pytest.mark.parametrize("name", ["benchmark.tgz", "VOCtrainval_11-May-2012.tar"])
def test_one_archive_is_cut_off(tmp_path, prepared, name):
    shutil.copytree(prepared[0] / "manual", tmp_path / "manual")
    path = tmp_path / "manual" / name
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=f"{name}: cut off or damaged"):
        run(tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("val.txt", b"caf\xe9\n", r"val\.txt: not a text file in UTF-8"),
        ("train.txt", None, r"train\.txt: No such file"),
        ("cls/z_train.mat", None, r"z_train\.mat: No such file"),
    ],
)
def test_errors_in_the_archive(tmp_path, prepared, file, data, message):
    voc, sbd = contents(prepared[0]).values()
    shutil.copytree(sbd, tmp_path / "sbd")
    path = tmp_path / "sbd" / voc12_aug.FOLDER / file
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_all(Voc12Aug("voc12_aug"), {"voc": voc, "sbd": tmp_path / "sbd"})
