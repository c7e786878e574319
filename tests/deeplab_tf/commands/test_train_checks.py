import shutil

import cv2
import numpy as np
import planted
import pytest
from small_backbones import small_backbones
from tiny_flags import TINY
from tool_runner import run_tool

# Without what would hold for the whole test process.
FLAGS = [flag for flag in TINY if flag != "--deterministic"]
FLAGS += ["--backbone=vgg16", "--fc_channels=8"]

STOP_LATER = "--backbone=vgg61"  # an error that comes after the check of the data


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clean"
    planted.write_small_set(folder)
    return folder


@pytest.fixture
def folder(tmp_path, clean):
    """A copy to plant defects in."""
    return shutil.copytree(clean, tmp_path / "data")


@pytest.fixture
def train(folder, tmp_path):
    """A function that trains one step on the copy, writing to `tmp_path / "model"`."""
    paths = f"--data_dir={folder}", f"--model_dir={tmp_path / 'model'}"
    return lambda *flags: run_tool("train", *FLAGS, *paths, "--steps=1", *flags)


@pytest.mark.parametrize("name", planted.DEFECTS)
def test_training_stops_before_its_first_step_at_a_planted_defect(train, folder, tmp_path, name):
    file = planted.DEFECTS[name].plant(folder)
    error = train().error
    # Lists that are wrong by themselves are found when they are read.
    assert str(file) in error or str(planted.split_path(folder)) in error
    assert not (tmp_path / "model").exists()


def test_what_is_allowed_does_not_stop_it(train, folder):
    planted.DEFECTS["EXIF"].plant(folder)
    done = train("--allow_data=image_rotated", STOP_LATER)
    assert "vgg61" in done.error
    assert "warning: image_rotated: " in done.out
    assert "unknown kind of finding 'exif'" in train("--allow_data=exif").error


def test_warnings_are_printed_and_do_not_stop_it(train, folder):
    path = planted.image_path(folder)
    path.write_bytes(cv2.imencode(".jpg", cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))[1])
    done = train(STOP_LATER)
    assert "vgg61" in done.error
    assert done.out.count("warning: ") == 1
    assert f"warning: image_gray: {path}: gray image; " in done.out


def test_a_sample_is_checked(train, folder):
    path = planted.label_path(folder, "train_0001")
    path.write_bytes(b"")
    assert "vgg61" in train("--check_images=2", STOP_LATER).error  # the first and the fourth
    assert str(path) in train("--check_images=0", STOP_LATER).error


def test_the_validation_list_is_checked_where_it_is_used(train, folder):
    planted.split_path(folder, "val").write_text("train_0000\n")
    assert "has 'train_0000' in common with list 'train'" in train(STOP_LATER).error
    assert "vgg61" in train("--eval_images=0", STOP_LATER).error


def test_one_list_to_train_and_to_validate_on(train):
    error = train("--val_split=train", STOP_LATER).error
    assert "list 'train': is named twice, to train and to validate on" in error
    meant_so = train("--val_split=train", "--allow_data=list_overlap", STOP_LATER)
    assert "vgg61" in meant_so.error and "warning: list_overlap: " in meant_so.out
    assert "vgg61" in train("--val_split=train", "--eval_images=0", STOP_LATER).error


def test_kinds_that_are_known_of_published_data_are_warnings(monkeypatch, train, folder):
    planted.DEFECTS["nothing but void"].plant(folder)
    assert "nothing but void (255)" in train(STOP_LATER).error
    monkeypatch.setattr("deeplab_tf.data.checks.findings.PREPARED", ("voc",))
    done = train(STOP_LATER)
    assert "vgg61" in done.error and "warning: void_only: " in done.out


def test_tiles_that_do_not_suit_all_images(train, folder, tmp_path):
    tiles = "--tile_size=48", "--tile_overlap=8"
    assert "vgg61" in train(*tiles, STOP_LATER).error
    overlap = train("--tile_size=8", "--tile_overlap=8", STOP_LATER).error
    assert "an overlap of at least 0 that is less than a tile" in overlap
    path = planted.image_path(folder, "train_0003")
    path.write_bytes(cv2.imencode(".jpg", np.zeros((128, 200, 3), np.uint8))[1].tobytes())
    error = train(*tiles, "--check_images=1", STOP_LATER).error
    assert f"error: {path}: size 200x128: 3 tiles of 48 pixels do not cover a side of 200" in error
    assert not (tmp_path / "model").exists()


def test_what_fails_before_the_first_step_leaves_nothing(train, folder, tmp_path):
    for name in ("train_0001", "train_0002", "train_0003", "train_0004", "train_0005"):
        planted.label_path(folder, name).write_bytes(b"")
    error = train("--check_images=1", "--batch_size=6", "--steps=1").error
    assert "train_000" in error
    assert not (tmp_path / "model").exists()


def test_classes_of_a_model_that_is_there_stay_until_there_is_another(train, tmp_path):
    labels, checkpoints = tmp_path / "model" / "labels.json", tmp_path / "model" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "checkpoint").write_text('model_checkpoint_path: "step-1"\n')
    (checkpoints / "step-1.index").write_bytes(b"of another network")
    labels.write_text("of another network")
    assert "step-1 cannot be read" in train().error
    assert labels.read_text() == "of another network"
