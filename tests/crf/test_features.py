import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf import CRFParams, Kernel, grid_features, image_features, image_kernels


def test_a_grid_by_hand():
    # Two rows of three points: x / 2, y / 4, row by row.
    features = grid_features((2, 3), sigma=(4, 2))
    assert features.tolist() == [[0, 0], [0.5, 0], [1, 0], [0, 0.25], [0.5, 0.25], [1, 0.25]]
    assert features.dtype == np.float32


def test_a_grid_that_is_a_part_of_a_larger_one():
    whole = grid_features((5, 7), sigma=(4, 2)).reshape(5, 7, 2)
    part = grid_features((2, 3), sigma=(4, 2), origin=(1, 4))
    np.testing.assert_array_equal(part, whole[1:3, 4:].reshape(-1, 2))
    np.testing.assert_array_equal(grid_features((2, 2), 3, origin=1)[0], np.float32([1, 1]) / 3)
    image = np.arange(6).reshape(2, 3)
    features = image_features(image, (4, 2), 1, channel_axis=None, origin=(1, 4))
    np.testing.assert_array_equal(features[:, :2], part)


@pytest.mark.parametrize("origin", [-1, 0.5, (1, 2, 3), "a"])
def test_a_bad_origin(origin):
    with pytest.raises(ValueError, match="grid_features: origin must be a whole number of at"):
        grid_features((2, 3), 1, origin=origin)


def test_spacing_is_in_the_unit_of_sigma():
    # Slices 2.5 mm apart, pixels 0.5 mm.
    features = grid_features((2, 1, 2), sigma=5, spacing=(2.5, 0.5, 0.5))
    np.testing.assert_allclose(features, [[0, 0, 0], [0.1, 0, 0], [0, 0, 0.5], [0.1, 0, 0.5]])


def test_an_infinite_sigma_leaves_an_axis_out():
    assert grid_features((2, 2), sigma=(np.inf, 1))[:, 1].tolist() == [0, 0, 0, 0]


def test_an_image_by_hand():
    image = np.array([[[10, 20], [30, 40]]], np.uint16)  # (1, 2, 2)
    features = image_features(image, sigma_space=2, sigma_values=(10, 20))
    np.testing.assert_allclose(features, [[0, 0, 1, 1], [0.5, 0, 3, 2]])


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    channels=st.integers(1, 5),
    dtype=st.sampled_from([np.uint8, np.int16, np.float16, np.float32, np.float64, np.bool_]),
    order=st.sampled_from(["C", "F"]),
    axis=st.sampled_from(["first", "last"]),
)
def test_any_rank_type_and_order(shape, channels, dtype, order, axis):
    rng = np.random.default_rng(0)
    image = np.array(rng.integers(0, 2, (*shape, channels)), dtype, order=order)
    features = image_features(image, 2.0, 0.5)
    assert features.shape == (np.prod(shape), len(shape) + channels)
    for position, row in zip(np.ndindex(*shape), features, strict=True):
        np.testing.assert_allclose(row[: len(shape)], np.array(position[::-1]) / 2)
        np.testing.assert_allclose(row[len(shape) :], image[position].astype(float) / 0.5)
    moved = np.moveaxis(image, -1, 0 if axis == "first" else -1)
    same = image_features(moved, 2.0, 0.5, channel_axis=0 if axis == "first" else -1)
    np.testing.assert_array_equal(same, features)


def test_no_channel_axis():
    gray = np.float32([[1.5, 2.5]])
    np.testing.assert_array_equal(
        image_features(gray, 1, 1, channel_axis=None), image_features(gray[..., None], 1, 1)
    )


def test_the_kernels_of_the_papers():
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    params = CRFParams(w1=4, sigma_alpha=2, sigma_beta=5, w2=3, sigma_gamma=10)
    bilateral, spatial = image_kernels(image, params)
    np.testing.assert_allclose(bilateral.features[5], [1, 0.5, 3, 3.2, 3.4])
    np.testing.assert_allclose(spatial.features[5], [0.2, 0.1])
    assert (bilateral.compatibility, spatial.compatibility) == (4, 3)
    only, *none = image_kernels(image, CRFParams(w2=0, compatibility=[[0, 1], [2, 0]]))
    assert not none and only.compatibility.tolist() == [[0, 4], [8, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ()}, "grid_features: shape must be the sizes along the grid's axes"),
        ({"shape": (3, 0)}, "each at least 1"),
        ({"shape": 5}, "shape must be"),
        ({"shape": (3, 2.9)}, "shape must be"),
        ({"shape": ("3", 2)}, "shape must be"),
        ({"sigma": 0}, "grid_features: sigma must be above 0, not 0"),
        ({"sigma": (1, -1)}, "sigma must be above 0, not (1, -1)"),
        ({"sigma": np.nan}, "sigma must be above 0"),
        ({"sigma": (1, 2, 3)}, "a number, or one for each axis: 2, but its shape is (3,)"),
        ({"sigma": None}, "sigma must be"),
        ({"spacing": -1}, "grid_features: spacing must be above 0"),
    ],
)
def test_bad_grids_are_one_line(options, message):
    with pytest.raises(ValueError, match=r"^grid_features: ") as error:
        grid_features(**{"shape": (2, 3), "sigma": 1, **options})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": np.ones(4)}, "leaves no axis for positions; for one without channels, give"),
        ({"image": [[[np.nan]]]}, "holds NaN or infinite values"),
        ({"image": [["a"]]}, "the image's values must be numbers"),
        ({"sigma_values": (1, 2)}, "sigma_values must be a number, or one for each channel: 3"),
        ({"sigma_values": 0}, "sigma_values must be above 0"),
        ({"sigma_space": 0}, "image_features: sigma_space must be above 0"),
        ({"spacing": 0}, "image_features: spacing must be above 0"),
        ({"channel_axis": 3}, "an image of shape (2, 2, 3) has no channel_axis 3"),
        ({"image": np.ones((0, 2, 3))}, "the image is empty: its shape is (0, 2, 3)"),
        ({"sigma_space": (1, 2, 3)}, "sigma_space must be a number, or one for each axis: 2"),
    ],
)
def test_bad_images_are_one_line(options, message):
    defaults = {"image": np.ones((2, 2, 3)), "sigma_space": 1, "sigma_values": 1}
    with pytest.raises(ValueError, match=r"^image_features: ") as error:
        image_features(**{**defaults, **options})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("start", [1e7, -3e8, 2.0**40])
def test_values_far_from_zero_keep_their_distances(start):
    # Float32 would round them to whole numbers or more.
    image = start + np.array([[0, 0.25, 1], [3, 0, 0.5]])
    found = image_features(image, 1, sigma_values=0.5, channel_axis=None)
    assert found[:, 2].tolist() == [0, 0.5, 2, 6, 0, 1]
    # Only the channel that needs it is moved.
    both = image_features(np.stack([image, image - start + 7], axis=-1), 1, (0.5, 2))
    assert both[:, 2].tolist() == [0, 0.5, 2, 6, 0, 1]
    np.testing.assert_array_equal(both[:, 3] * 2, (image - start + 7).ravel())


def test_values_of_photographs_are_divided_as_by_the_fast_engine():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = image_features(image, 1, sigma_values=3.3, channel_axis=None)
    np.testing.assert_array_equal(found[:, 2], np.arange(256, dtype=np.float32) / np.float32(3.3))


def peak_bytes(function, *arguments, **options):
    """What a call allocates at most, with what it returns."""
    tracemalloc.start()
    function(*arguments, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("offset", [0, 1e9])
@pytest.mark.parametrize(
    ("shape", "dtype", "axis"),
    [
        ((200, 300, 3), np.uint8, -1),
        ((3, 200, 300), np.float64, 0),
        ((8, 200, 100), np.float32, 0),
        ((30, 40, 50), np.int16, None),
    ],
)
def test_memory_is_checked_before_it_is_taken(monkeypatch, shape, dtype, axis, offset):
    image = np.ones(shape, dtype)
    if offset and dtype == np.float64:
        image += offset
    sigma, asked = 2, []
    monkeypatch.setattr("crf.features.check_memory", lambda size, what: asked.append(size))
    taken = peak_bytes(image_features, image, sigma, sigma, channel_axis=axis)
    assert 0.5 * asked[0] < taken <= asked[0] + 20_000
    features = image_features(image, sigma, sigma, channel_axis=axis)
    monkeypatch.setattr("crf.gaussian.check_memory", lambda size, what: asked.append(size))
    assert 0.5 * asked[-1] < peak_bytes(Kernel, features) <= asked[-1] + 20_000


def test_too_little_memory_is_one_line(monkeypatch):
    features = grid_features((30, 40), 2)
    monkeypatch.setattr("crf.memory.available_memory", lambda: 1000)
    for call in (
        lambda: grid_features((30, 40), 2),
        lambda: image_features(np.ones((30, 40, 3)), 2, 2),
        lambda: Kernel(features),
    ):
        with pytest.raises(ValueError, match=r"^crf: the features take .* compute tiles") as error:
            call()
        assert "\n" not in str(error.value)
