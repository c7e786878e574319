import cv2
import numpy as np
import pytest
from tiny_depth import scene, write_tiny_depth

from deeplab_tf.data.augment import Change, crop_depth, place_crop
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.depth_targets import depth_targets, load_depth_pair
from deeplab_tf.data.pipeline import input_error_from, training_batches
from deeplab_tf.errors import InputError


@pytest.fixture
def data_dir(tmp_path):
    return write_tiny_depth(tmp_path / "data", train=2, val=1)


def targets(data_dir, split="train", **options):
    examples, _ = open_dataset("voc", data_dir, split, need_labels=False)
    return depth_targets(examples, "voc", data_dir, **options)


def test_scaling_an_image_divides_its_depth_by_the_factor():
    depth = np.float32([[1, 2], [3, 0]])
    out = np.empty((5, 5), np.float32)
    change = Change(np.float32(2), np.zeros(2, np.float32), False)
    crop_depth(depth, place_crop((2, 2), change, 5), change.scale, out)
    np.testing.assert_array_equal(
        out,
        [
            [0.5, 0.5, 1, 1, 0],
            [0.5, 0.5, 1, 1, 0],
            [1.5, 1.5, 0, 0, 0],
            [1.5, 1.5, 0, 0, 0],
            [0, 0, 0, 0, 0],  # outside of the image
        ],
    )
    change = Change(np.float32(0.5), np.zeros(2, np.float32), True)
    small = np.empty((1, 1), np.float32)
    crop_depth(depth, place_crop((2, 2), change, 1), change.scale, small)
    assert small == [[0]]
    depth[:] = 3
    crop_depth(depth, place_crop((2, 2), change, 1), change.scale, small)
    assert small == [[6]]


def test_batches_hold_the_depth_of_the_image_that_they_show(data_dir):
    # Labels are not needed.
    for label in (data_dir / "SegmentationClass").iterdir():
        label.unlink()
    plain = {"batch_size": 2, "crop_size": 70, "mirror": False, "num_classes": None, "depth": True}
    batch = next(iter(training_batches(targets(data_dir), scale_range=(1, 1), **plain)))
    assert batch["label"].dtype == np.float32 and batch["label"].shape == (2, 70, 70)
    rows = batch["name"].numpy(), batch["image"], batch["label"]
    for name, image, depth in zip(*rows, strict=True):
        color, millimeters, _ = scene(int(name))
        left = next(  # the crop is as high as the image
            left
            for left in range(21)
            if np.array_equal(image, color[:, left : left + 70].astype(np.float32))
        )
        expected = np.float32(millimeters[:, left : left + 70]) / np.float32(1000)
        np.testing.assert_allclose(depth, expected, rtol=1e-6)


def test_the_color_of_the_padding(data_dir):
    options = {"batch_size": 2, "crop_size": 80, "scale_range": (1, 1), "num_classes": None}
    found = training_batches(targets(data_dir), depth=True, padding=(127.5,) * 3, **options)
    np.testing.assert_array_equal(next(iter(found))["image"][:, 70:], 127.5)


def test_mirroring_and_scaling_move_color_and_depth_together(tmp_path):
    # The depth is told by the color, so it can be read off the changed image.
    folder = write_tiny_depth(tmp_path / "data", train=1, val=1, size=(64, 64))
    ramp = np.tile(np.linspace(20, 220, 64), (64, 1))
    image = np.dstack([ramp] * 3).astype(np.uint8)
    cv2.imwrite(str(folder / "JPEGImages" / "0.png"), image)
    np.save(folder / "Depth" / "0.npy", image[..., 0].astype(np.float32) / 10)
    (folder / "Depth" / "0.png").unlink()
    options = {"batch_size": 8, "crop_size": 48, "scale_range": (0.8, 2), "num_classes": None}
    batch = next(iter(training_batches(targets(folder), depth=True, **options)))
    image, depth = batch["image"].numpy()[..., 0], batch["label"].numpy()
    slopes = [np.polyfit(np.arange(30), row[10, 5:35], 1)[0] for row in image]
    assert min(slopes) < 0 < max(slopes)  # some are mirrored
    for slope, levels, meters in zip(slopes, image, depth, strict=True):
        scale = np.float32(200 / 63) / abs(slope)  # enlarged, the ramp is flatter
        known = meters > 0
        np.testing.assert_allclose((levels / 10 / meters)[known].mean(), scale, rtol=0.05)


def test_tiles_are_examples_too(data_dir):
    options = {"batch_size": 2, "crop_size": 32, "tile_size": (40, 50), "num_classes": None}
    batch = next(iter(training_batches(targets(data_dir), depth=True, **options)))
    assert batch["label"].numpy().max() > 0.5


def test_what_cannot_be_used_is_named(data_dir):
    found = targets(data_dir)
    image, depth = load_depth_pair(found[0])
    assert image.shape == (70, 90, 3) and depth.dtype == np.float32
    cv2.imwrite(str(data_dir / "Depth" / "0.png"), np.ones((5, 6), np.uint16))
    with pytest.raises(InputError, match=r"Depth/0\.png: size 6x5 differs from the image's 90x70"):
        load_depth_pair(found[0])
    options = {"batch_size": 2, "crop_size": 32, "num_classes": None, "depth": True}
    with pytest.raises(Exception, match=r"Depth/0\.png: size 6x5") as caught:
        next(iter(training_batches(found, **options)))
    assert isinstance(input_error_from(caught.value), InputError)
    (data_dir / "Depth" / "0.png").write_bytes(b"no PNG")
    with pytest.raises(InputError, match=r"Depth/0\.png: not a depth map"):
        load_depth_pair(found[0])
    (data_dir / "Depth" / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png: no such depth map; .*--objective=pixels"):
        targets(data_dir)
    assert len(targets(data_dir, must_exist=False)) == 2
