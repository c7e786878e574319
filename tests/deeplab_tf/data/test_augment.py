import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.augment import (
    DRAWS,
    MEAN_RGB,
    draw,
    random_crop,
    random_jitter,
    random_mirror,
    random_scale,
)
from deeplab_tf.errors import InputError

LABEL = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 255]], np.uint8)
# Each channel tells the same story as the label, so that the two can be compared.
IMAGE = np.stack([LABEL, LABEL + 0.5, -1.0 * LABEL], axis=-1).astype(np.float32)


def _example(seed=0, image=IMAGE, label=LABEL):
    return {
        "image": tf.constant(image, tf.float32),
        "label": tf.constant(label, tf.uint8),
        "seed": tf.constant([seed, 7], tf.int32),
        "name": tf.constant("example"),
    }


def _eager(operation, example):
    return {key: value.numpy() for key, value in operation(example).items()}


def _in_dataset(operation, example):
    dataset = tf.data.Dataset.from_tensors(example).map(operation)
    return {key: value.numpy() for key, value in next(iter(dataset)).items()}


both = pytest.mark.parametrize("run", [_eager, _in_dataset])
OPERATIONS = {
    "scale": random_scale(0.5, 1.5),
    "crop": random_crop(2),
    "mirror": random_mirror(),
    "jitter": random_jitter(0.4),
}


@both
def test_scale_by_two_hand_checked(run):
    row = np.array([[0, 4]], np.uint8)
    image = np.repeat(row[..., None], 3, axis=-1)
    result = run(random_scale(2, 2), _example(image=image, label=row))
    # Pixel centres of the output lie at -0.25, 0.25, 0.75, 1.25 of the input.
    np.testing.assert_allclose(result["image"][..., 0], [[0, 1, 3, 4], [0, 1, 3, 4]])
    np.testing.assert_array_equal(result["label"], [[0, 0, 4, 4], [0, 0, 4, 4]])
    assert (result["image"].dtype, result["label"].dtype) == (np.float32, np.uint8)


@both
def test_scale_by_one_changes_nothing(run):
    result = run(random_scale(1, 1), _example())
    np.testing.assert_array_equal(result["image"], IMAGE)
    np.testing.assert_array_equal(result["label"], LABEL)


@pytest.mark.parametrize(
    ("factor", "size"), [(0.5, (2, 2)), (1.5, (5, 6)), (0.75, (2, 3)), (0.01, (1, 1))]
)
def test_scaled_sizes_are_rounded_half_up(factor, size):
    result = _eager(random_scale(factor, factor), _example())
    assert result["label"].shape == size
    assert result["image"].shape == (*size, 3)


def test_scale_factors_are_uniform():
    label = np.zeros((1000, 1), np.uint8)
    image = np.zeros((1000, 1, 3))
    dataset = tf.data.Dataset.range(400).map(
        lambda seed: random_scale(0.5, 1.5)(
            {**_example(image=image, label=label), "seed": tf.stack([seed, 1])}
        )["label"]
    )
    factors = np.array([len(scaled) for scaled in dataset]) / 1000
    assert 0.5 <= factors.min() < 0.52
    assert 1.48 < factors.max() <= 1.5
    assert np.histogram(factors, 4, (0.5, 1.5))[0].min() > 70


def test_scale_factors_in_steps():
    label = np.zeros((100, 1), np.uint8)
    operation = random_scale(0.5, 1.5, step=0.25)
    image = np.zeros((100, 1, 3))
    sizes = [len(_eager(operation, _example(seed, image, label))["label"]) for seed in range(60)]
    assert set(sizes) == {50, 75, 100, 125, 150}


@both
def test_crop_pads_at_the_bottom_and_the_right(run):
    result = run(random_crop(5), _example())
    image, label = result["image"], result["label"]
    assert image.shape == (5, 5, 3)
    np.testing.assert_array_equal(label[:3, :4], LABEL)
    np.testing.assert_array_equal(image[:3, :4], IMAGE)
    outside = np.ones((5, 5), bool)
    outside[:3, :4] = False
    np.testing.assert_array_equal(label[outside], 255)
    np.testing.assert_allclose(image[outside], np.tile(MEAN_RGB, (13, 1)), rtol=1e-6)


@both
def test_crop_pads_one_side_and_crops_the_other(run):
    result = run(random_crop(4), _example(label=LABEL[:, :1], image=IMAGE[:, :1]))
    np.testing.assert_array_equal(result["label"][:3, 0], LABEL[:, 0])
    assert (result["label"][:, 1:] == 255).all()
    assert (result["label"][3] == 255).all()


@both
def test_crop_is_a_window_of_image_and_label(run):
    for seed in range(10):
        result = run(random_crop(2), _example(seed))
        top, left = np.argwhere(result["label"][0, 0] == LABEL)[0]
        window = (slice(top, top + 2), slice(left, left + 2))
        np.testing.assert_array_equal(result["label"], LABEL[window])
        np.testing.assert_array_equal(result["image"], IMAGE[window])


def test_all_windows_are_drawn_and_equally_often():
    corners = [int(_eager(random_crop(2), _example(seed))["label"][0, 0]) for seed in range(300)]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 4, 5, 6]
    assert counts.min() > 25


def test_crop_size_is_known_to_the_dataset():
    dataset = tf.data.Dataset.from_tensors(_example()).map(random_crop(2))
    assert dataset.element_spec["image"].shape == (2, 2, 3)
    assert dataset.element_spec["label"].shape == (2, 2)


@both
def test_mirror_swaps_left_and_right_of_both(run):
    seen = set()
    for seed in range(12):
        result = run(random_mirror(), _example(seed))
        mirrored = bool(result["label"][0, 0] == 3)
        step = -1 if mirrored else 1
        np.testing.assert_array_equal(result["label"], LABEL[:, ::step])
        np.testing.assert_array_equal(result["image"], IMAGE[:, ::step])
        seen.add(mirrored)
    assert seen == {True, False}


def test_mirror_happens_half_of_the_time():
    count = sum(
        int(_eager(random_mirror(), _example(seed))["label"][0, 0] == 3) for seed in range(200)
    )
    assert 70 < count < 130


@both
def test_jitter_keeps_label_and_range(run):
    image = np.tile(np.array([[0, 255, 128.0]], np.float32), (12, 1)).reshape(3, 4, 3)
    seen = [run(random_jitter(1), _example(seed, image)) for seed in range(8)]
    for result in seen:
        np.testing.assert_array_equal(result["label"], LABEL)
        assert result["image"].min() >= 0
        assert result["image"].max() <= 255
        # All pixels were alike and still are.
        assert np.ptp(result["image"], axis=(0, 1)).max() == 0
    assert len({result["image"].tobytes() for result in seen}) > 4


@both
def test_jitter_of_strength_0_changes_nothing(run):
    image = np.minimum(np.abs(IMAGE), 255)
    result = run(random_jitter(0), _example(image=image))
    np.testing.assert_allclose(result["image"], image, atol=1e-4)


def test_draws_are_uniform_and_uncorrelated():
    drawn = np.array([draw(tf.constant([seed, 3])) for seed in range(400)])
    assert drawn.shape == (400, DRAWS)
    assert 0 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.07)
    correlations = np.corrcoef(drawn.T) - np.eye(DRAWS)
    assert np.abs(correlations).max() < 0.2


@pytest.mark.parametrize("name", OPERATIONS)
def test_other_keys_pass_and_the_seed_decides(name):
    first = _eager(OPERATIONS[name], _example(3))
    second = _in_dataset(OPERATIONS[name], _example(3))
    for key in ("image", "label", "seed", "name"):
        np.testing.assert_array_equal(first[key], second[key])
    np.testing.assert_array_equal(first["seed"], [3, 7])
    others = [_eager(OPERATIONS[name], _example(seed))["image"] for seed in range(4, 12)]
    assert any(not np.array_equal(first["image"], other) for other in others)


def test_operations_draw_independently():
    # Were crop and mirror to share a draw, some of the eight combinations would never appear.
    seen = set()
    for seed in range(80):
        example = _example(seed, IMAGE[:2, :3], LABEL[:2, :3])
        cropped = random_crop(2)(example)
        left = int(cropped["label"][0, 0])
        mirrored = int(random_mirror()(cropped)["label"][0, 0]) != left
        large = len(random_scale(0.5, 2)(_example(seed, *_tall()))["label"]) > 125
        seen.add((left, mirrored, large))
    assert len(seen) == 8


def _tall():
    return np.zeros((100, 1, 3)), np.zeros((100, 1), np.uint8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: random_scale(0, 1),
        lambda: random_scale(1.5, 0.5),
        lambda: random_scale(0.5, 1.5, step=-1),
        lambda: random_crop(0),
        lambda: random_jitter(-0.1),
        lambda: random_jitter(1.1),
    ],
)
def test_refuses_numbers_out_of_range(make):
    with pytest.raises(InputError):
        make()
