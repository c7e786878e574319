import numpy as np
import pytest

from crf.pydensecrf import utils

HALF = np.log(2)


def test_labels_by_hand():
    # Two labels and unsure; a label is right with probability 0.75, the other one gets 0.25.
    unary = utils.unary_from_labels(np.array([[0, 1], [2, 2]]), 2, gt_prob=0.75)
    sure, other = -np.log(0.75), -np.log(0.25)
    wanted = [[HALF, sure, other, other], [HALF, other, sure, sure]]
    np.testing.assert_allclose(unary, wanted, rtol=1e-6)
    assert unary.dtype == np.float32 and unary.flags.c_contiguous


def test_labels_without_unsure_begin_at_zero():
    unary = utils.unary_from_labels(np.array([0, 2, 1]), 3, gt_prob=0.8, zero_unsure=False)
    wanted = np.full((3, 3), -np.log(0.1))
    wanted[[0, 2, 1], [0, 1, 2]] = -np.log(0.8)
    np.testing.assert_allclose(unary, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32", "int64", "bool"])
@pytest.mark.parametrize("zero_unsure", [True, False])
def test_every_integer_type(dtype, zero_unsure):
    # In pydensecrf an unsigned 0 less 1 is out of range.
    labels = np.array([0, 1, 1, 0], dtype)
    wanted = utils.unary_from_labels(labels.astype(int), 2, 0.7, zero_unsure)
    np.testing.assert_array_equal(utils.unary_from_labels(labels, 2, 0.7, zero_unsure), wanted)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([0, 3], (2, 0.7), "labels must be 0 to 2, but are 0 to 3; void pixels must become 0"),
        ([0, 2], (2, 0.7, False), "must be 0 to 1, but are 0 to 2; with zero_unsure=True, 0 is"),
        ([-1, 1], (2, 0.7), "must be 0 to 2, but are -1 to 1"),
        ([0.0, 1.0], (2, 0.7), "labels must be integers, not float64; give labels.astype"),
        ([0, 1], (2, 1.0), "gt_prob must be between 0 and 1, not 1.0"),
        ([0, 1], (2, 0), "gt_prob must be between 0 and 1, not 0"),
        ([0, 1], (1, 0.7), "n_labels must be at least 2, not 1"),
    ],
)
def test_errors_of_labels(labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.unary_from_labels(np.array(labels), *arguments)


def test_n_labels_must_be_whole():
    with pytest.raises(TypeError, match=r"n_labels must be a whole number, not 2\.5"):
        utils.unary_from_labels(np.array([1]), 2.5, 0.7)


def test_compute_unary_is_deprecated_but_works(caplog):
    # The case of pydensecrf's own test.
    labels = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    unary = utils.compute_unary(labels, 3, GT_PROB=0.8)
    probabilities = np.full((8, 3), 0.1)
    probabilities[[0, 7]] = 1 / 3
    probabilities[np.arange(1, 7), [0, 1, 2, 2, 1, 0]] = 0.8
    np.testing.assert_allclose(unary, -np.log(probabilities.T), rtol=1e-6)
    assert "use unary_from_labels" in caplog.text
    np.testing.assert_array_equal(
        utils.compute_unary(labels, 3), utils.unary_from_labels(labels, 3, 0.5)
    )


def test_softmax_by_hand():
    probabilities = np.array([[0.5, 0.0], [0.5, 1.0]], np.float32)
    unary = utils.unary_from_softmax(probabilities)
    np.testing.assert_allclose(unary, [[HALF, -np.log(1e-5)], [HALF, 0]], rtol=1e-6)
    assert unary.dtype == np.float32
    # Trusted by half: 0.5 p + 0.5 / 2.
    np.testing.assert_allclose(
        utils.unary_from_softmax(probabilities, scale=0.5),
        [[HALF, -np.log(0.25)], [HALF, -np.log(0.75)]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        utils.unary_from_softmax(probabilities, clip=0.1)[0], [HALF, -np.log(0.1)], rtol=1e-6
    )


def test_softmax_without_clip_keeps_zero():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        unary = utils.unary_from_softmax(np.array([[0.0, 0.5], [1.0, 0.5]]), clip=None)
    np.testing.assert_allclose(unary, [[np.inf, HALF], [0, HALF]], rtol=1e-6)


def test_softmax_of_any_rank_and_memory_order_is_contiguous():
    values = np.random.default_rng(0).random((4, 5, 6, 3)).astype(np.float32) + 0.1
    unary = utils.unary_from_softmax(values.transpose(3, 0, 1, 2))
    assert unary.shape == (3, 120) and unary.flags.c_contiguous
    np.testing.assert_allclose(unary[2], -np.log(np.clip(values[..., 2], 0, 1)).ravel(), rtol=1e-6)


@pytest.mark.parametrize("scale", [0, -1, 1.5])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale must be above 0 and at most 1"):
        utils.unary_from_softmax(np.full((2, 3), 0.5), scale)


def test_softmax_to_unary_is_deprecated_but_works(caplog):
    probabilities = np.array([[0.25, 1e-7], [0.75, 1 - 1e-7]])
    np.testing.assert_allclose(
        utils.softmax_to_unary(probabilities), -np.log(probabilities), rtol=1e-5
    )
    np.testing.assert_array_equal(
        utils.softmax_to_unary(probabilities, GT_PROB=0.5),
        utils.unary_from_softmax(probabilities, 0.5, None),
    )
    assert "use unary_from_softmax" in caplog.text


def test_gaussian_features_by_hand():
    features = utils.create_pairwise_gaussian(sdims=(2, 0.5), shape=(2, 3))
    np.testing.assert_array_equal(features, [[0, 0, 0, 0.5, 0.5, 0.5], [0, 2, 4, 0, 2, 4]])
    assert features.dtype == np.float32 and features.flags.c_contiguous


def test_gaussian_features_of_a_volume():
    features = utils.create_pairwise_gaussian((1, 2, 4), [2, 3, 4])
    assert features.shape == (3, 24)
    np.testing.assert_array_equal(features[:, -1], [1, 1, 0.75])


def test_bilateral_features_by_hand():
    image = np.array([[[10, 20], [30, 40]]], np.uint8)  # one row, two columns, two channels
    features = utils.create_pairwise_bilateral((1, 2), (10, 20), image, chdim=2)
    np.testing.assert_array_equal(features, [[0, 0], [0, 0.5], [1, 3], [1, 2]])
    assert features.dtype == np.float32 and features.flags.c_contiguous


def test_bilateral_features_with_the_channels_in_front_or_with_none():
    image = np.random.default_rng(0).random((3, 4, 5))
    last = utils.create_pairwise_bilateral((2, 3), 0.1, np.moveaxis(image, 0, -1), chdim=2)
    np.testing.assert_array_equal(utils.create_pairwise_bilateral((2, 3), 0.1, image, 0), last)
    gray = utils.create_pairwise_bilateral((2, 3), (0.1,), image[0])
    np.testing.assert_array_equal(gray, last[[0, 1, 2]])


def test_one_deviation_for_all_channels():
    image = np.random.default_rng(0).random((4, 5, 3))
    several = utils.create_pairwise_bilateral((2, 3), (0.1, 0.1, 0.1), image, 2)
    np.testing.assert_array_equal(utils.create_pairwise_bilateral((2, 3), 0.1, image, 2), several)


def test_features_leave_the_image_as_it_was():
    image = np.ones((2, 2, 1), np.float32)
    utils.create_pairwise_bilateral((1, 1), 0.5, image, 2)
    assert (image == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 1), 1, (4, 5, 3)), r"sdims must be 3 numbers.*chdim=2"),
        (((1, 1), (1, 1), (4, 5, 3), 2), "schan must be 3 numbers, one for each channel"),
        (((1, 0), 1, (4, 5, 3), 2), "sdims must be finite and above 0"),
        (((1, 1), -1, (4, 5, 3), 2), "schan must be finite and above 0, not -1"),
        (((1, 1), np.nan, (4, 5, 3), 2), "schan must be finite and above 0, not nan"),
        ((np.array(3.0), 1, (4, 5)), "sdims must be 2 numbers, one for each dimension"),
    ],
)
def test_errors_of_bilateral_features(arguments, message):
    sdims, schan, shape, *chdim = arguments
    with pytest.raises(ValueError, match=message):
        utils.create_pairwise_bilateral(sdims, schan, np.zeros(shape), *chdim)


@pytest.mark.parametrize("sdims", [3, (3,), (1, 2, 3), ("a", "b")])
def test_errors_of_gaussian_features(sdims):
    with pytest.raises(ValueError, match="sdims must be"):
        utils.create_pairwise_gaussian(sdims, (4, 5))
