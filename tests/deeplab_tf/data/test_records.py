import json
import shutil
import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.datasets import label_encoding, open_dataset
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.records import (
    check_prepared,
    find_prepared,
    prepared_splits,
    record_extents,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

NAMES = {"train": ["b", "a"], "sbd": ["c"], "val": ["d"]}
METADATA = {
    "classes": ["background", "thing"],
    "colors": [[0, 0, 0], [9, 8, 7]],
    "void_color": [1, 2, 3],
    "names": NAMES,
    "lists": {"train_aug": ["train", "sbd"], "trainval": ["train", "val"]},
}


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def level(name):
    return 10 * (ord(name) - ord("a"))


def record(name):
    values = {
        "name": name.encode(),
        "image": png(np.full((2, 3, 3), level(name), np.uint8)),
        "label": png(np.array([[0, 1, 255], [1, 1, 0]], np.uint8)),
    }
    example = tf.train.Example()
    for key, value in values.items():
        example.features.feature[key].bytes_list.value.append(value)
    return example.SerializeToString()


def write_shard(folder, split, shard, count, names):
    path = folder / f"voc12_aug-{split}.tfrecord-{shard:05d}-of-{count:05d}"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            writer.write(record(name))


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "voc12_aug" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    write_shard(folder, "train", 0, 2, ["b"])
    write_shard(folder, "train", 1, 2, ["a"])
    write_shard(folder, "sbd", 0, 1, ["c"])
    write_shard(folder, "val", 0, 1, ["d"])
    return tmp_path


@pytest.mark.parametrize(
    "split, names", [("train", "ba"), ("train_aug", "bac"), ("trainval", "bad"), ("val", "d")]
)
def test_lists_are_unions_of_splits_in_order(data_dir, split, names):
    examples, label_set = open_dataset("voc12_aug", data_dir, split)
    assert [example.name for example in examples] == list(names)
    for example in examples:
        image, label = load_pair(example, label_set.num_classes)
        assert (image == level(example.name)).all() and image.shape == (2, 3, 3)
        np.testing.assert_array_equal(label, [[0, 1, 255], [1, 1, 0]])


def test_classes_and_colors_come_with_the_records(data_dir):
    wanted = LabelSet(("background", "thing"), ((0, 0, 0), (9, 8, 7)), (1, 2, 3))
    assert open_dataset("voc12_aug", data_dir, "train")[1] == wanted
    assert label_encoding("voc12_aug", data_dir) is None


def test_splits_are_those_that_lists_are_made_of(data_dir):
    assert prepared_splits(data_dir, "voc12_aug") == ("train", "sbd", "val")


def test_the_newest_version_is_taken(data_dir):
    for version in ("1.9.0", "1.10.0"):
        folder = data_dir / "voc12_aug" / version
        folder.mkdir()
        (folder / "dataset_info.json").write_text("{}")
    (data_dir / "voc12_aug" / "9.0.0").mkdir()  # never finished
    assert find_prepared(data_dir, "voc12_aug").name == "1.10.0"


@pytest.mark.parametrize("copy", ["1.0.0-old", "1.0.0.bak", "2.0.0.x1y2.partial", "1.0.old"])
def test_copies_beside_are_no_versions(data_dir, copy):
    shutil.copytree(data_dir / "voc12_aug" / "1.0.0", data_dir / "voc12_aug" / copy)
    assert find_prepared(data_dir, "voc12_aug").name == "1.0.0"


def test_data_that_is_not_prepared_names_the_command(tmp_path):
    command = f"deeplab-tf prepare-data --dataset=camvid --data_dir={tmp_path}"
    with pytest.raises(InputError, match=command):
        open_dataset("camvid", tmp_path, "train")
    with pytest.raises(InputError, match="--dataset=camvid '--data_dir=my data'"):
        open_dataset("camvid", "my data", "train")


def test_an_unknown_list_names_those_there_are(data_dir):
    with pytest.raises(
        InputError, match="unknown list 'test'; available: train, sbd, val, train_aug"
    ):
        open_dataset("voc12_aug", data_dir, "test")


def test_damage_is_one_line(data_dir):
    folder = find_prepared(data_dir, "voc12_aug")
    shard = folder / "voc12_aug-val.tfrecord-00000-of-00001"
    contents = shard.read_bytes()
    for cut in (1, len(contents) // 2, len(contents) - 1):
        shard.write_bytes(contents[:cut])
        with pytest.raises(InputError, match="00000-of-00001: cut off or damaged"):
            open_dataset("voc12_aug", data_dir, "val")
    shard.write_bytes(contents * 2)
    with pytest.raises(InputError, match="2 records of 'val' but 1 names"):
        open_dataset("voc12_aug", data_dir, "val")
    (folder / "voc12_aug-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(InputError, match="files of 'train' are missing"):
        open_dataset("voc12_aug", data_dir, "train")
    (folder / "metadata.json").write_text("{")
    with pytest.raises(InputError, match=r"metadata.json: cannot be read"):
        open_dataset("voc12_aug", data_dir, "sbd")
    (folder / "metadata.json").write_text('{"names": {}}')
    with pytest.raises(InputError, match=r"metadata.json: 'classes' is missing"):
        open_dataset("voc12_aug", data_dir, "sbd")


@pytest.mark.parametrize(
    "change, message",
    [
        (None, "not a JSON object"),
        ({"names": None}, "'names' and 'lists' must contain lists of names"),
        ({"names": {"train": 2}}, "'names' and 'lists' must contain lists of names"),
        ({"names": {"train": [1]}}, "'names' and 'lists' must contain lists of names"),
        ({"lists": ["train"]}, "'names' and 'lists' must contain lists of names"),
        ({"lists": {"all": ["train", "more"]}}, "a list contains 'more', which is not a split"),
        ({"classes": 5}, "its classes or colors are wrong"),
        ({"colors": [1]}, "its classes or colors are wrong"),
        ({"void_color": "x"}, "its classes or colors are wrong"),
    ],
)
def test_metadata_of_other_types_is_one_line(data_dir, change, message):
    path = data_dir / "voc12_aug" / "1.0.0" / "metadata.json"
    path.write_text(json.dumps({**METADATA, **change} if change else [METADATA]))
    with pytest.raises(InputError) as caught:
        open_dataset("voc12_aug", data_dir, "train")
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)
    assert str(caught.value).endswith("; prepare the data again with --overwrite")


def test_check_opens_the_files_of_every_split(data_dir):
    folder = data_dir / "voc12_aug" / "1.0.0"
    check_prepared(folder)
    for path in sorted(folder.iterdir()):
        contents = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match="prepare the data again with --overwrite"):
            check_prepared(folder)
        path.write_bytes(contents)
    shard = folder / "voc12_aug-sbd.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match="00000-of-00001: cut off or damaged"):
        check_prepared(folder)


def test_extents_are_those_of_the_data(tmp_path):
    path = tmp_path / "x"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in (b"", b"abc"):
            writer.write(data)
    assert record_extents(path) == [(12, 0), (28, 3)]
    contents = path.read_bytes()
    assert contents[28:31] == b"abc" and struct.unpack("<Q", contents[16:24]) == (3,)
