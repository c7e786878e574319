import json
import tarfile

import numpy as np
import pytest
from tiny_archives import (
    gradient,
    jpeg,
    label_of,
    pack,
    read_back,
    sbd_mat,
    stripes,
    write_sbd,
    write_voc12,
)

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.voc12_aug import load_sbd_label, void_borders
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


@pytest.fixture
def images(tmp_path):
    write_sbd(tmp_path / "manual", SBD_LABELS, train=["z_train", "held"], images=SBD_IMAGES)
    return write_voc12(tmp_path / "manual", VOC_NAMES)


def run(tmp_path, **options):
    folders = (tmp_path / name for name in ("down", "data", "manual"))
    return prepare("voc12_aug", *folders, options=options, trust_archives=True)


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


def test_lists(tmp_path, images):
    assert run(tmp_path).counts == {
        "train": 2,
        "sbd": 2,
        "val": 2,
        "trainval": 4,
        "train_aug": 4,
        "trainval_aug": 6,
    }
    names = {}
    for split in ("train", "train_aug", "val", "trainval_aug"):
        examples, _ = open_dataset("voc12_aug", tmp_path / "data", split)
        names[split] = [example.name for example in examples]
    assert names["train_aug"] == ["both", "voc_only", "a_val", "z_train"]
    assert names["val"] == ["held", "held_too"]
    assert not set(names["train_aug"]) & set(names["val"])
    assert sorted(names["trainval_aug"]) == sorted(names["train_aug"] + names["val"])


def test_labels_of_voc_go_before_those_of_sbd(tmp_path, images):
    folder = run(tmp_path).folder
    train, sbd = read_back(folder, "train"), read_back(folder, "sbd")
    np.testing.assert_array_equal(label_of(train[0]), VOC_NAMES["train"]["both"])
    for record in sbd:
        name = record["name"].decode()
        np.testing.assert_array_equal(label_of(record), SBD_LABELS[name])


def test_images_come_from_voc_and_else_from_sbd(tmp_path, images):
    folder = run(tmp_path).folder
    assert read_back(folder, "train")[0]["image"] == images["both"] != SBD_IMAGES["both"]
    assert read_back(folder, "sbd")[1]["image"] == SBD_IMAGES["z_train"]


def test_void_border_in_sbd_labels_alone(tmp_path, images):
    folder = run(tmp_path, sbd_void_border=2).folder
    for record in read_back(folder, "sbd"):
        expected = void_borders(SBD_LABELS[record["name"].decode()], 2)
        np.testing.assert_array_equal(label_of(record), expected)
        assert (expected == VOID).any()
    np.testing.assert_array_equal(
        label_of(read_back(folder, "train")[1]), VOC_NAMES["train"]["voc_only"]
    )


def test_another_border_than_before(tmp_path, images):
    folder = run(tmp_path, sbd_void_border=2).folder
    assert json.loads((folder / "metadata.json").read_text())["options"] == {"sbd_void_border": 2}
    message = "was prepared with sbd_void_border=2, not 0; give --overwrite"
    with pytest.raises(InputError, match=message):
        run(tmp_path)
    assert run(tmp_path, sbd_void_border=2).is_new is False
    with pytest.raises(InputError, match="--sbd_void_border=-1: give 0 or more"):
        run(tmp_path, sbd_void_border=-1)


@pytest.mark.parametrize("name", ["benchmark.tgz", "VOCtrainval_11-May-2012.tar"])
def test_one_archive_is_cut_off(tmp_path, images, name):
    path = tmp_path / "manual" / name
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=f"{name}: cut off or damaged"):
        run(tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_list_that_is_no_text(tmp_path, images):
    write_sbd(tmp_path / "manual", SBD_LABELS, train=["z_train", "held"], images=SBD_IMAGES)
    path = tmp_path / "manual" / "benchmark.tgz"
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.isfile()]
        files = {member.name: archive.extractfile(member).read() for member in members}
    pack(path, {**files, "benchmark_RELEASE/dataset/val.txt": b"caf\xe9\n"})
    with pytest.raises(InputError, match=r"val\.txt: not a text file in UTF-8"):
        run(tmp_path)


def test_a_label_is_missing(tmp_path, images):
    labels = {name: label for name, label in SBD_LABELS.items() if name != "z_train"}
    write_sbd(tmp_path / "manual", labels, train=["z_train", "held"], images=SBD_IMAGES)
    with pytest.raises(InputError, match=r"z_train\.mat: No such file"):
        run(tmp_path)
    assert not (tmp_path / "data").exists()
