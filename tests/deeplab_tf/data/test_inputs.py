"""Color and depth of an example as one image of levels."""

import cv2
import numpy as np
import pytest
from tiny_depth import CAMERA, SIZE, scene, write_tiny_depth

from deeplab_tf.data.checks import check_dataset
from deeplab_tf.data.datasets import dataset_camera, open_dataset
from deeplab_tf.data.depth import Camera, depth_levels, encode_depth
from deeplab_tf.data.hha import hha_image
from deeplab_tf.data.image_files import load_classes, load_pair
from deeplab_tf.data.inputs import CHANNELS, add_depth, input_image
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.voc import read_split
from deeplab_tf.errors import InputError


@pytest.fixture
def data_dir(tmp_path):
    return write_tiny_depth(tmp_path / "data")


def examples(data_dir, input, split="train"):
    return add_depth(read_split(data_dir, split), input, "voc", data_dir)


def test_what_each_network_sees(data_dir):
    color, millimeters, label = scene(0)
    depth = np.float32(millimeters) / np.float32(1000)
    geometry = hha_image(depth, Camera(90, 90, 45, 35))
    expected = {
        "rgb": color,
        "rgbd": np.dstack([color, depth_levels(depth)]),
        "hha": geometry,
        "rgb_hha": np.dstack([color, geometry]),
    }
    for input, channels in CHANNELS.items():
        example = examples(data_dir, input)[0]
        image, found = load_pair(example, 2, None, channels)
        np.testing.assert_array_equal(image, expected[input])
        np.testing.assert_array_equal(found, label)
        np.testing.assert_array_equal(load_classes(example, 2), label)
        assert example.name == "0" and example.image.endswith("JPEGImages/0.png")
    assert examples(data_dir, "rgb") == read_split(data_dir, "train")  # nothing is added


def test_depth_may_be_floats_in_meters(data_dir):
    (data_dir / "Depth" / "0.png").unlink()
    depth = np.random.default_rng(0).uniform(0.6, 9, SIZE).astype(np.float32)
    (data_dir / "Depth" / "0.npy").write_bytes(encode_depth(depth))
    image, _ = load_pair(examples(data_dir, "rgbd")[0], 2, None, 4)
    np.testing.assert_array_equal(image[..., 3], depth_levels(depth))


def test_scaled_cropped_and_mirrored_together(data_dir):
    """A color that is the level of the depth stays so: both move in the same way."""
    for seed in range(4):
        levels = depth_levels(np.float32(scene(seed)[1]) / np.float32(1000))
        cv2.imwrite(str(data_dir / "JPEGImages" / f"{seed}.png"), levels)
    batches = training_batches(
        examples(data_dir, "rgbd"), num_classes=2, batch_size=4, crop_size=33, channels=4
    )
    for batch in batches.take(3).as_numpy_iterator():
        image, inside = batch["image"], batch["label"] != 255
        np.testing.assert_allclose(image[..., 3][inside], image[..., 0][inside], atol=1e-3)
        # Whatever the scale: near is at 1 to 1.3 meters, level 53 to 74, and far at 3 to 3.3.
        assert image[..., 3][inside].min() > 52 and image[..., 3][inside].max() < 150
        assert ((image[..., 3] > 107) == batch["label"])[inside].mean() > 0.95


def test_what_is_missing_is_named(data_dir, tmp_path):
    (data_dir / "camera.txt").unlink()
    assert len(examples(data_dir, "rgbd")) == 4  # which needs no camera
    with pytest.raises(InputError, match=r"camera\.txt: no such file, but --input=hha needs"):
        examples(data_dir, "hha")
    (data_dir / "Depth" / "2.png").unlink()
    with pytest.raises(InputError, match=r"Depth/2\.png: no such depth map; add it"):
        examples(data_dir, "rgbd")
    assert dataset_camera("voc", data_dir) is None
    (data_dir / "camera.txt").write_text(CAMERA)
    assert dataset_camera("voc", data_dir) == (90, 90, 45, 35)


def test_sizes_must_agree(data_dir):
    cv2.imwrite(str(data_dir / "Depth" / "0.png"), np.ones((70, 91), np.uint16))
    with pytest.raises(
        InputError, match=r"Depth/0\.png: size 91x70 differs from the image's 90x70"
    ):
        examples(data_dir, "rgbd")[0].read()
    with pytest.raises(InputError, match="size 5x4 differs from the image's 6x4"):
        input_image(np.zeros((4, 6, 3), np.uint8), np.ones((4, 5), np.float32), "rgbd")


def test_the_check_finds_what_is_wrong_with_depth_maps(data_dir):
    folder = data_dir / "Depth"
    (folder / "0.png").unlink()
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:200])
    cv2.imwrite(str(folder / "2.png"), np.full((70, 91), 1500, np.uint16))
    np.save(folder / "3.npy", np.full(SIZE, 1500, np.float32))  # millimeters in place of meters
    (folder / "3.png").unlink()
    cv2.imwrite(str(folder / "4.png"), np.full(SIZE, 1500, np.uint16) * (np.arange(90) < 30))
    parts = {
        split: add_depth(read_split(data_dir, split), "rgb_hha", "voc", data_dir, must_exist=False)
        for split in ("train", "val")
    }
    _, label_set = open_dataset("voc", data_dir, "val")
    report = check_dataset(parts, label_set, channels=6, progress=False)
    found = {finding.kind: finding for finding in report.findings if finding.kind[:5] == "depth"}
    files = {kind: finding.file for kind, finding in found.items()}
    assert files == {
        "depth_missing": f"{folder}/0.png",
        "depth_unreadable": f"{folder}/1.png",
        "depth_size": f"{folder}/2.png",
        "depth_unit": f"{folder}/3.npy",
        "depth_unknown": f"{folder}/4.png",
    }
    assert [kind for kind, finding in found.items() if finding.severity == "warning"] == [
        "depth_unknown"
    ]
    assert "median of the depth is 1500 meters" in found["depth_unit"].what
    (data_dir / "JPEGImages" / "5.png").unlink()  # no fault of its depth map
    report = check_dataset({"val": parts["val"][1:]}, label_set, channels=6, progress=False)
    assert [finding.kind for finding in report.errors] == ["image_missing"]
    assert "67% of the pixels" in found["depth_unknown"].what
