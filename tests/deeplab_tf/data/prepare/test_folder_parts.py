"""Preparing a folder in VOC layout keeps its further label spaces, depth maps and camera."""

import shutil

import cv2
import numpy as np
import pytest
from tiny_depth import CAMERA, write_tiny_depth

from deeplab_tf.data.datasets import dataset_camera, further_spaces, open_dataset
from deeplab_tf.data.depth import Camera
from deeplab_tf.data.inputs import add_depth
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.label_spaces import open_heads
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.folder import Folder
from deeplab_tf.data.prepare.origin import fingerprint
from deeplab_tf.errors import InputError

SIZE, HEADS = (24, 30), {"place": 2, "side": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Color, depth and labels of two kinds; tests may only change copies of it."""
    folder = write_tiny_depth(tmp_path_factory.mktemp("source") / "mine", 2, 1, SIZE)
    (folder / "SegmentationClass_side").mkdir()
    for seed in range(3):
        side = np.repeat(np.uint8([[1, 2]]), [10 + seed, 20 - seed], axis=1)
        label = encode_label(np.repeat(side, SIZE[0], axis=0))
        (folder / "SegmentationClass_side" / f"{seed}.png").write_bytes(label)
    (folder / "classes_side.txt").write_text("unlabeled void\nleft\nright\n")
    return folder


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "mine")


def everything(builder):
    """Read what `prepare` reads of every example."""
    examples = [each for found in builder.splits({}).values() for each in found]
    further = {
        (space, each.name): builder.read_further(space, each)
        for space in builder.further_labels
        for each in examples
    }
    depth = {each.name: builder.read_depth(each) for each in examples if builder.camera}
    return further, depth


def test_prepared_data_is_what_the_folder_is(source, tmp_path):
    prepare("folder", tmp_path / "down", tmp_path / "data", options={"voc_dir": str(source)})
    folder, prepared = ("voc", source), ("folder", tmp_path / "data")
    assert further_spaces(*prepared) == further_spaces(*folder) == ("side",)
    assert dataset_camera(*prepared) == dataset_camera(*folder) == Camera.parse(CAMERA)
    for split, count in (("train", 2), ("val", 1)):
        (before, names), (after, kept) = (
            open_heads(*place, split, HEADS) for place in (folder, prepared)
        )
        assert len(before) == len(after) == count
        assert [each.names for each in kept.label_sets] == [each.names for each in names.label_sets]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new.read_label(), old.read_label())
        assert np.unique(after[0].read_label()[..., 1]).tolist() == [0, 1]  # left, right
        old, new = (
            add_depth(open_dataset(*place, split)[0], "rgb_hha", *place)
            for place in (folder, prepared)
        )
        assert [each.read()[0] for each in new] == [each.read()[0] for each in old]


def test_the_depth_is_in_meters_and_labels_are_reduced(copy):
    cv2.imwrite(str(copy / "Depth" / "0.png"), np.full(SIZE, 1500, np.uint16))
    np.save(copy / "Depth" / "1.npy", np.full(SIZE, 2.123456789))
    (copy / "Depth" / "1.png").unlink()
    further, depth = everything(Folder("folder", {"voc_dir": str(copy)}))
    assert further["side", "2"].shape == SIZE
    np.testing.assert_array_equal(further["side", "2"][0], [0] * 12 + [1] * 18)
    np.testing.assert_array_equal(depth["0"], np.full(SIZE, 1.5, np.float32))
    np.testing.assert_array_equal(depth["1"], np.full(SIZE, 2.123456789, np.float32))
    shutil.rmtree(copy / "Depth")
    further, depth = everything(Folder("folder", {"voc_dir": str(copy), "max_side": 15}))
    assert further["side", "0"].shape == (12, 15) and not depth


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda at: (at / "Depth/2.png").unlink(), "Depth/2.png: no such depth map; add it ("),
        (lambda at: (at / "Depth/2.png").unlink(), "or rename the folder Depth to prepare"),
        (lambda at: (at / "Depth/2.png").write_bytes(b"\x89PNG"), "Depth/2.png: "),
        (lambda at: (at / "camera.txt").unlink(), "camera.txt: no such file, but prepared depth"),
        (lambda at: (at / "camera.txt").write_text("1 2"), "camera.txt: camera '1 2'; give fx,"),
        (lambda at: (at / "classes_side.txt").unlink(), "classes_side.txt"),
        (
            lambda at: (at / "SegmentationClass_side/1.png").unlink(),
            "SegmentationClass_side/1.png: no such label; add it",
        ),
        (
            lambda at: (at / "classes_side.txt").write_text("left\nright\n"),
            "SegmentationClass_side/0.png: label value 2",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(copy, change, said):
    change(copy)
    with pytest.raises(InputError) as error:
        everything(Folder("folder", {"voc_dir": str(copy)}))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_depth_is_not_reduced(source):
    with pytest.raises(InputError, match=r"^--max_side: the depth maps in .*Depth are not reduced"):
        everything(Folder("folder", {"voc_dir": str(source), "max_side": 15}))


def test_parts_of_another_size_are_refused_and_nothing_is_written(copy, tmp_path):
    def refusal():
        with pytest.raises(InputError) as error:
            prepare("folder", tmp_path / "down", tmp_path / "data", options={"voc_dir": str(copy)})
        assert not (tmp_path / "data" / "folder" / "1.0.0").exists()
        return str(error.value)

    small = np.full((9, 9), 1000, np.uint16)
    cv2.imwrite(str(copy / "Depth" / "2.png"), small)
    assert "2.png: depth of shape (9, 9), but labels of (24, 30)" in refusal()
    (copy / "SegmentationClass_side" / "0.png").write_bytes(encode_label(np.ones((9, 9), np.uint8)))
    assert "0.png, label_side: label uint8 (9, 9) but the image" in refusal()


@pytest.mark.parametrize(
    "path", ["Depth/2.png", "camera.txt", "SegmentationClass_side/0.png", "classes_side.txt"]
)
def test_changed_parts_are_noticed(copy, path):
    def state():
        return fingerprint(Folder("folder", {"voc_dir": str(copy)}).source_files())

    before = state()
    assert state() == before
    (copy / path).write_bytes((copy / path).read_bytes() + b"\n")
    assert state() != before
