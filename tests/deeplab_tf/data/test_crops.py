"""Crops of files, against TensorFlow's operations on whole images one after the other."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from planted import with_orientation

from deeplab_tf.data import image_files
from deeplab_tf.data.augment import draw_change
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_label, load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.orientation import turn
from deeplab_tf.data.pipeline import input_error_from, training_batches
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB


def _batches(examples, count, crop_size, **options):
    dataset = training_batches(
        examples, num_classes=20, batch_size=1, crop_size=crop_size, **options
    )
    return list(dataset.take(count).as_numpy_iterator())


@pytest.fixture
def photographs(tmp_path):
    """Four JPEGs of 45x64, of several chroma samplings, with random labels."""
    rng, made = np.random.default_rng(0), []
    samplings = ["444", "422", "420", "440"]
    for sampling in samplings:
        image = cv2.resize(rng.integers(0, 256, (9, 13, 3), np.uint8), (64, 45))
        image = cv2.add(image, rng.integers(0, 30, image.shape, np.uint8))
        example = Example(*(str(tmp_path / f"{sampling}{end}") for end in ("", ".jpg", ".png")))
        options = [
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"),
        ]
        cv2.imwrite(example.image, image, options)
        label = rng.integers(0, 20, (45, 64), np.uint8)
        Path(example.label).write_bytes(encode_label(label))
        made.append(example._replace(name=sampling))
    return made


def test_further_channels_are_cropped_with_the_colors(tmp_path):
    """A .npy file of five channels, and a PNG of its first three, with the same changes."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (45, 64, 5), np.uint8)
    image[..., 4] = image[..., 0]
    label = encode_label(rng.integers(0, 20, (45, 64), np.uint8))
    paths = [str(tmp_path / name) for name in ("a.npy", "a.png", "label.png")]
    np.save(paths[0], image)
    cv2.imwrite(paths[1], image[..., 2::-1])
    Path(paths[2]).write_bytes(label)
    wide, rgb = (Example("a", path, paths[2]) for path in paths[:2])
    for options in ({}, {"tile_size": (30, 30)}):
        found = _batches([wide], 6, 33, channels=5, **options)
        for batch, expected in zip(found, _batches([rgb], 6, 33, **options), strict=True):
            np.testing.assert_array_equal(batch["image"][..., :3], expected["image"])
            np.testing.assert_array_equal(batch["label"], expected["label"])
            inside = (batch["image"][..., :3] != np.float32(MEAN_RGB)).any(axis=-1)
            depth, red = batch["image"][..., 4], batch["image"][..., 0]
            np.testing.assert_array_equal(depth[inside], red[inside])
            np.testing.assert_array_equal(depth[~inside], 127.5)
    changed = _batches([wide], 6, 33, channels=5, jitter=1.0)
    for batch, plain in zip(changed, _batches([wide], 6, 33, channels=5), strict=True):
        np.testing.assert_array_equal(batch["image"][..., 3:], plain["image"][..., 3:])
        assert np.abs(batch["image"][..., :3] - plain["image"][..., :3]).max() > 1


def _change(image, label, seed, crop_size, scale_range, scale_step=0.0, jitter=0.0):
    """The crop as TensorFlow's operations make it, one after the other, on the whole image."""
    change = draw_change(tf.constant(seed, tf.int64), scale_range, scale_step, jitter=jitter)
    size = tf.cast(tf.shape(label), tf.float32)
    size = tf.maximum(tf.cast(tf.floor(size * change.scale + 0.5), tf.int32), 1)
    image = tf.image.resize(image, size).numpy()
    label = tf.image.resize(label[..., None], size, "nearest").numpy()[..., 0]
    if change.colors is not None:
        image = image @ change.colors.numpy()[:, :3].T + change.colors.numpy()[:, 3]
        image = np.clip(image, 0, 255)
    below, right = np.maximum(crop_size - np.array(label.shape), 0)
    label = np.pad(label, [(0, below), (0, right)], constant_values=255)
    image = np.pad(image, [(0, below), (0, right), (0, 0)], constant_values=np.nan)
    image = np.where(np.isnan(image), np.float32(MEAN_RGB), image)
    positions = np.array(label.shape) - crop_size + 1
    top, left = (change.corner.numpy() * positions.astype(np.float32)).astype(int)
    window = (slice(top, top + crop_size), slice(left, left + crop_size))
    step = -1 if change.mirrored else 1
    return image[window][:, ::step], label[window][:, ::step]


@pytest.mark.parametrize(
    ("crop_size", "scale_range", "scale_step", "jitter"),
    [
        (33, (0.5, 1.5), 0.0, 0.0),
        (33, (0.5, 1.5), 0.0, 0.7),
        (20, (0.3, 3), 0.3, 0.0),
        (90, (1, 2), 0.0, 0.4),
    ],
)
def test_crops_are_what_tensorflow_makes_of_whole_images(
    photographs, crop_size, scale_range, scale_step, jitter
):
    options = {"scale_range": scale_range, "scale_step": scale_step, "jitter": jitter}
    by_name = {example.name.encode(): load_pair(example, 20) for example in photographs}
    for position, batch in enumerate(_batches(photographs, 12, crop_size, **options)):
        pair = by_name[batch["name"][0]]
        image, label = _change(*pair, (0, position), crop_size, **options)
        np.testing.assert_array_equal(batch["label"][0], label)
        np.testing.assert_allclose(batch["image"][0], image, atol=1e-3)


def test_crops_of_photos_that_are_turned(photographs):
    # The labels are those of the turned images; small crops are decoded by themselves.
    for example, orientation in zip(photographs, (6, 8, 3, 5), strict=True):
        path, label = Path(example.image), load_label(example.label, 20)
        path.write_bytes(with_orientation(path.read_bytes(), orientation))
        Path(example.label).write_bytes(encode_label(turn(label, orientation)))
    by_name = {example.name.encode(): load_pair(example, 20) for example in photographs}
    for position, batch in enumerate(_batches(photographs, 12, 12, scale_range=(0.9, 2))):
        pair = by_name[batch["name"][0]]
        image, label = _change(*pair, (0, position), 12, (0.9, 2))
        np.testing.assert_array_equal(batch["label"][0], label)
        np.testing.assert_allclose(batch["image"][0], image, atol=1e-3)


def test_tiles_are_scaled_and_cropped_by_themselves(photographs):
    # Each tile, as an image of its own, gives the same crops.
    image, label = load_pair(photographs[0], 20)
    tiling = {"tile_size": (45, 40), "tile_overlap": 3}
    tiles = _batches(photographs[:1], 8, 24, scale_range=(1, 3), **tiling)
    for position, batch in enumerate(tiles):
        found = []
        for left in (0, 24):
            tile = (part[:, left : left + 40] for part in (image, label))
            image_crop, label_crop = _change(*tile, (0, position), 24, scale_range=(1, 3))
            found.append(
                np.array_equal(label_crop, batch["label"][0])
                and np.allclose(image_crop, batch["image"][0], atol=1e-3)
            )
        assert sum(found) == 1


def test_of_a_jpeg_only_the_part_around_the_crop_is_decoded(photographs, monkeypatch):
    decoded = []
    decode_window = image_files._decode_window

    def spy(contents, window):
        decoded.append(tuple(window))
        return decode_window(contents, window)

    monkeypatch.setattr(image_files, "_decode_window", spy)
    batches = _batches(photographs, 6, 10, scale_range=(1, 1))
    assert len(decoded) >= len(batches)
    for _, _, height, width in decoded:
        # The crop, a neighbour on each side, and the margin.
        assert 12 <= height <= 16
        assert 12 <= width <= 16


def _assert_named(example, problem):
    # The crops are so small that hardly any reaches the lower end of the image.
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        _batches([example], 1, 2, scale_range=(1, 1))
    with pytest.raises(InputError, match=problem) as named:
        raise input_error_from(caught.value)
    assert str(named.value).startswith(str(Path(example.image).with_suffix("")))


def test_a_jpeg_that_was_cut_off_below_the_crop_is_named(photographs):
    for example in photographs:
        contents = Path(example.image).read_bytes()
        Path(example.image).write_bytes(contents[:-200])
        _assert_named(example, "cannot be read as JPEG image")


def test_bytes_behind_a_jpeg_do_not_matter(photographs):
    wanted = _batches(photographs, 4, 33)
    for example in photographs:
        with Path(example.image).open("ab") as file:
            file.write(b"something else")
    for batch, want in zip(_batches(photographs, 4, 33), wanted, strict=True):
        np.testing.assert_array_equal(batch["image"], want["image"])


def test_a_jpeg_that_is_larger_than_its_label_is_named(photographs):
    example = photographs[0]
    Path(example.label).write_bytes(encode_label(np.zeros((44, 64), np.uint8)))
    _assert_named(example, "size 64x44 differs from the image's 64x45")
