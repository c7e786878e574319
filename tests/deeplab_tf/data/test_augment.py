"""Random scaling, cropping, mirroring and jitter, by hand and against TensorFlow's resizing."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.augment import (
    MIDDLE,
    Change,
    Place,
    check_augmentation,
    crop_image,
    crop_label,
    draw_change,
    needed_part,
    place_crop,
    random_jitter,
    random_scale,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB

RED = np.array([200, 40, 40], np.float32)
GRAY = np.array([80, 80, 80], np.float32)
LUMA = np.array([0.299, 0.587, 0.114])
SWAP_RED_AND_GREEN = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, -1]], np.float32)


def gray_image(label):
    """An RGB image with the values of a label map, so that the two can be compared."""
    return np.repeat(label[..., None], 3, axis=2)


def crop(label, place, size, **options):
    """The crops of `gray_image(label)` and of the label."""
    image_out = np.full((size, size, 3), np.nan, np.float32)
    label_out = np.full((size, size), 77, np.uint8)
    crop_image(gray_image(label), place, None, image_out, **options)
    crop_label(label, place, label_out, **options)
    return image_out, label_out


def changes(count, **options):
    """The changes of `count` seeds."""
    return [draw_change(tf.constant([seed, 3], tf.int64), **options) for seed in range(count)]


def test_scaling_by_two_hand_checked():
    label = np.array([[0, 4]], np.uint8)
    image, label = crop(label, Place((1, 2), (2, 4), (0, 0), False), 4)
    # The pixel centers of the doubled row are at -0.25, 0.25, 0.75, 1.25 of the row.
    np.testing.assert_allclose(image[:2, :, 1], [[0, 1, 3, 4], [0, 1, 3, 4]])
    np.testing.assert_allclose(image[2:], np.tile(MEAN_RGB, (2, 4, 1)), rtol=1e-6)
    np.testing.assert_array_equal(label, [[0, 0, 4, 4], [0, 0, 4, 4], [255] * 4, [255] * 4])


def test_padding_of_a_mirrored_crop_is_on_the_left():
    image, label = crop(np.array([[1, 2]], np.uint8), Place((1, 2), (1, 2), (0, 0), True), 3)
    np.testing.assert_allclose(image[0], [MEAN_RGB, [2, 2, 2], [1, 1, 1]], rtol=1e-6)
    np.testing.assert_array_equal(label[0], [255, 2, 1])


def test_padding_with_another_color():
    out = np.empty((2, 2, 3), np.float32)
    place = Place((1, 1), (1, 1), (0, 0), False)
    crop_image(np.full((1, 1, 3), 9, np.uint8), place, None, out, padding=(1, 127.5, 3))
    np.testing.assert_array_equal(out, [[[9, 9, 9], [1, 127.5, 3]], [[1, 127.5, 3]] * 2])


@pytest.mark.parametrize("mirrored", [False, True])
def test_equals_resizing_in_tensorflow_and_cropping(mirrored):
    rng, step = np.random.default_rng(0), -1 if mirrored else 1
    label = rng.integers(0, 256, (23, 31), np.uint8)
    for _ in range(20):
        scaled = rng.integers(9, 60, 2)
        top, left = (rng.integers(0, side - 8) for side in scaled)
        place = Place((23, 31), tuple(map(int, scaled)), (int(top), int(left)), mirrored)
        image_crop, label_crop = crop(label, place, 9)
        window = (slice(top, top + 9), slice(left, left + 9))
        want = tf.image.resize(gray_image(label), scaled).numpy()[window][:, ::step]
        np.testing.assert_allclose(image_crop, want, atol=1e-3)
        want = tf.image.resize(label[..., None], scaled, "nearest").numpy()[..., 0]
        np.testing.assert_array_equal(label_crop, want[window][:, ::step])


def test_the_needed_part_of_the_image_is_enough():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 256, (20, 30), np.uint8)
    for scaled in ((25, 25), (60, 90), (11, 17)):
        place = Place((20, 30), scaled, (3, 11), False)
        (top, bottom), (left, right) = needed_part(place, 6)
        part = np.ascontiguousarray(label[top:bottom, left:right])
        assert part.size < label.size
        image_part = np.empty((6, 6, 3), np.float32)
        crop_image(gray_image(part), place, None, image_part, origin=(-top, -left))
        np.testing.assert_array_equal(image_part, crop(label, place, 6)[0])


def test_a_tile_is_cropped_as_an_image_of_its_own():
    label = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
    place = Place((10, 15), (9, 9), (0, 0), False)
    alone = crop(np.ascontiguousarray(label[3:13, 5:20]), place, 9)
    inside = crop(label, place, 9, origin=(3, 5))
    np.testing.assert_array_equal(inside[0], alone[0])
    np.testing.assert_array_equal(inside[1], alone[1])


@pytest.mark.parametrize("mirrored", [False, True])
def test_colors_change_but_not_those_of_the_padding(mirrored):
    image = np.zeros((2, 1, 3), np.uint8)
    image[:] = (100, 255, 0)
    out = np.empty((3, 3, 3), np.float32)
    crop_image(image, Place((2, 1), (2, 1), (0, 0), mirrored), SWAP_RED_AND_GREEN, out)
    want = np.tile(np.float32(MEAN_RGB), (3, 3, 1))
    want[:2, 2 if mirrored else 0] = [255, 100, 0]  # -1 is limited to 0
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("mirrored", [False, True])
def test_further_channels_are_cropped_like_the_colors(mirrored):
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 5), np.uint8)
    place = Place((9, 14), (12, 11), (3, 2), mirrored)
    out = np.empty((11, 11, 5), np.float32)
    crop_image(image, place, SWAP_RED_AND_GREEN, out)
    colors, further = np.empty((2, 11, 11, 3), np.float32)
    crop_image(np.ascontiguousarray(image[..., :3]), place, SWAP_RED_AND_GREEN, colors)
    crop_image(np.ascontiguousarray(image[..., 2:]), place, None, further)
    np.testing.assert_array_equal(out[..., :3], colors)
    filled = np.s_[:9, 2:] if mirrored else np.s_[:9, :9]
    np.testing.assert_array_equal(out[..., 3:][filled], further[..., 1:][filled])
    np.testing.assert_array_equal(out[9:, :, 3:], 127.5)  # the padding


@pytest.mark.parametrize(
    ("scale", "scaled"), [(0.5, (2, 2)), (1.5, (5, 6)), (0.75, (2, 3)), (0.01, (1, 1))]
)
def test_scaled_sizes_are_rounded_half_up(scale, scaled):
    change = Change(np.float32(scale), np.zeros(2, np.float32), False)
    assert place_crop((3, 4), change, 5) == ((3, 4), scaled, (0, 0), False)


def test_corners_reach_all_positions_and_no_more():
    corners = set()
    for drawn in np.linspace(0, np.nextafter(1, 0), 50, dtype=np.float32):
        change = Change(np.float32(1), np.array([drawn, 1 - drawn], np.float32), False)
        corners.add(place_crop((3, 9), change, 2).corner)
    assert {row for row, _ in corners} == {0, 1}
    assert {column for _, column in corners} == set(range(8))


def test_changes_are_uniform_and_independent():
    drawn = changes(300)
    scales = np.array([change.scale for change in drawn])
    corners = np.array([change.corner for change in drawn])
    mirrored = np.array([change.mirrored for change in drawn])
    assert 0.5 <= scales.min() < 0.52 and 1.48 < scales.max() <= 1.5
    assert np.histogram(scales, 4, (0.5, 1.5))[0].min() > 45
    assert 0 <= corners.min() < 0.01 and 0.99 < corners.max() < 1
    assert 110 < mirrored.sum() < 190
    table = np.stack([scales, *corners.T, mirrored])
    assert np.abs(np.corrcoef(table) - np.eye(4)).max() < 0.2


def test_the_seed_decides():
    first, second = changes(2, jitter=0.4), changes(2, jitter=0.4)
    for a, b in zip(first, second, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)
    assert first[0].scale != first[1].scale


def test_what_is_not_wanted_is_not_drawn():
    for change in changes(20, scale_range=(1, 1), mirror=False):
        assert change.scale == 1 and not change.mirrored and change.colors is None
    assert changes(1, jitter=0.4)[0].colors.shape == (3, 4)


def test_scale_factors_in_steps():
    drawn = tf.constant(np.linspace(0, 0.999, 100), tf.float32)
    factors, counts = np.unique(random_scale(drawn, 0.5, 1.5, step=0.25), return_counts=True)
    np.testing.assert_allclose(factors, [0.5, 0.75, 1, 1.25, 1.5])
    assert counts.min() >= 19
    # (1.5 - 0.5) / 0.1 is a little less than 10 in floating point.
    assert len(np.unique(random_scale(drawn, 0.5, 1.5, step=0.1))) == 11


def jittered(color, strength=0.5, **drawn):
    """A color after a jitter; what is not given stays in the middle of its range."""
    names = ("brightness", "contrast", "saturation", "hue")
    draws = [drawn.get(name, 0.5) for name in names]
    change = random_jitter(tf.constant(draws, tf.float32), strength).numpy()
    return change[:, :3] @ color + change[:, 3]


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_of_strength_0_and_in_the_middle_changes_nothing(kind):
    np.testing.assert_allclose(jittered(RED, 0, **{kind: 0.9}), RED, atol=1e-4)
    np.testing.assert_allclose(jittered(RED), RED, atol=1e-4)


def test_brightness_multiplies():
    np.testing.assert_allclose(jittered(RED, brightness=1.0), 1.5 * RED, rtol=1e-5)
    np.testing.assert_allclose(jittered(RED, brightness=0.0), 0.5 * RED, rtol=1e-5)


def test_contrast_multiplies_the_distance_from_the_middle():
    want = MIDDLE + 1.25 * (RED - MIDDLE)
    np.testing.assert_allclose(jittered(RED, contrast=0.75), want, rtol=1e-5)


def test_saturation_multiplies_the_distance_from_gray():
    gray = LUMA @ RED
    want = gray + 0.5 * (RED - gray)
    np.testing.assert_allclose(jittered(RED, saturation=0.0), want, rtol=1e-4)
    np.testing.assert_allclose(jittered(RED, 1.0, saturation=0.0), gray, rtol=1e-4)


def test_hue_keeps_gray_and_brightness():
    turned = jittered(RED, 1.0, hue=0.9)
    assert np.abs(turned - RED).max() > 50
    np.testing.assert_allclose(LUMA @ turned, LUMA @ RED, rtol=1e-3)
    np.testing.assert_allclose(jittered(GRAY, 1.0, hue=0.9), GRAY, rtol=1e-3)


def test_opposite_turns_of_hue_cancel():
    there = jittered(RED, 1.0, hue=0.8)
    np.testing.assert_allclose(jittered(there, 1.0, hue=0.2), RED, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ((0, (0.5, 1.5), 0, 0), "crop_size 0; give at least 1"),
        ((9, (0, 1), 0, 0), "scale range 0 to 1"),
        ((9, (1.5, 0.5), 0, 0), "scale range 1.5 to 0.5"),
        ((9, (0.5, 1.5), -1, 0), "step -1"),
        ((9, (0.5, 1.5), 0, -0.1), "jitter -0.1"),
        ((9, (0.5, 1.5), 0, 1.1), "jitter 1.1"),
    ],
)
def test_refuses_numbers_out_of_range(settings, problem):
    check_augmentation(9, (0.5, 1.5), 0.25, 1)
    with pytest.raises(InputError, match=problem):
        check_augmentation(*settings)
