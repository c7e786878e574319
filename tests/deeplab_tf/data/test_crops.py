"""Crops made at once, against the random operations that make them one after the other."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import crops
from deeplab_tf.data.augment import random_crop, random_jitter, random_mirror, random_scale
from deeplab_tf.data.examples import Example
from deeplab_tf.data.pipeline import input_error_from, training_batches
from deeplab_tf.data.png import encode_label
from deeplab_tf.data.voc import decode_image, load_pair
from deeplab_tf.errors import InputError


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


def _by_the_operations(examples, positions, crop_size, scales, jitter):
    """What `training_batches` of seed 0 shall give, made whole by the operations in turn."""
    changes = [random_scale(*scales), random_jitter(jitter), random_crop(crop_size)]
    made, count = [], len(examples)
    for position in range(positions):
        order_seed = tf.constant([0, position // count], tf.int64)
        index = int(
            tf.random.experimental.index_shuffle(
                tf.constant(position % count, tf.int64),
                order_seed,
                tf.constant(count - 1, tf.int64),
            )
        )
        image, label = load_pair(examples[index], 20)
        example = {
            "image": tf.constant(image, tf.float32),
            "label": tf.constant(label),
            "name": tf.constant(examples[index].name),
            "seed": tf.constant([0, position], tf.int64),
        }
        for change in [*changes, random_mirror()]:
            example = change(example)
        made.append({key: example[key].numpy() for key in ("image", "label", "name")})
    return made


@pytest.mark.parametrize(
    ("crop_size", "scales", "jitter"),
    [(33, (0.5, 1.5), 0.0), (33, (0.5, 1.5), 0.7), (20, (0.3, 3, 0.3), 0.0), (90, (1, 2), 0.4)],
)
def test_batches_are_what_the_operations_make(photographs, crop_size, scales, jitter):
    options = {"scale_range": scales[:2], "jitter": jitter}
    options["scale_step"] = scales[2] if len(scales) > 2 else 0.0
    batches = _batches(photographs, 24, crop_size, **options)
    wanted = _by_the_operations(photographs, 24, crop_size, scales, jitter)
    for batch, want in zip(batches, wanted, strict=True):
        assert batch["name"][0] == want["name"]
        np.testing.assert_array_equal(batch["label"][0], want["label"])
        np.testing.assert_allclose(batch["image"][0], want["image"], atol=1e-3)


def test_tiles_are_scaled_and_cropped_by_themselves(photographs):
    # Each tile, written as an image of its own, gives the same crops.
    image, label = load_pair(photographs[0], 20)
    tiling = {"tile_size": (45, 40), "tile_overlap": 3}
    tiles = _batches(photographs[:1], 8, 24, scale_range=(1, 3), **tiling)
    for position, batch in enumerate(tiles):
        found = []
        for left in (0, 24):
            example = {
                "image": tf.constant(image[:, left : left + 40], tf.float32),
                "label": tf.constant(label[:, left : left + 40]),
                "seed": tf.constant([0, position], tf.int64),
            }
            for change in (random_scale(1, 3), random_crop(24), random_mirror()):
                example = change(example)
            found.append(
                np.array_equal(example["label"], batch["label"][0])
                and np.allclose(example["image"], batch["image"][0], atol=1e-3)
            )
        assert sum(found) == 1


def test_of_a_jpeg_only_the_part_around_the_crop_is_decoded(photographs, monkeypatch):
    decoded = []
    decode_window = crops._decode_window

    def spy(contents, window):
        decoded.append(tuple(window))
        return decode_window(contents, window)

    monkeypatch.setattr(crops, "_decode_window", spy)
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
        _assert_named(example, "cannot be read as JPEG or PNG image")


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


@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444"])
@pytest.mark.parametrize("progressive", [0, 1])
def test_both_decoders_give_the_same_pixels(sampling, progressive):
    # Whole JPEGs are decoded by OpenCV, parts of them and all that is scored by TensorFlow.
    rng = np.random.default_rng(0)
    for size in ((1, 1), (8, 9), (37, 51), (120, 90)):
        image = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 1.5)
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
        options += [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
        contents = cv2.imencode(".jpg", image, options)[1].tobytes()
        whole = cv2.imdecode(np.frombuffer(contents, np.uint8), crops._RGB_AS_STORED)
        np.testing.assert_array_equal(whole, decode_image(contents))
