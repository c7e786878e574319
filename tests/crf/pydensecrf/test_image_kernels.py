"""The fast way for the usual two kernels of an image gives what the general one gives."""

import numpy as np
import pytest

import crf.pydensecrf.densecrf as dcrf
from crf.pydensecrf import image_kernels

HEIGHT, WIDTH, LABELS = 6, 8, 3


def scene():
    rng = np.random.default_rng(0)
    unary = rng.uniform(0, 5, (LABELS, HEIGHT * WIDTH)).astype(np.float32)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[2:, 3:] = 160, 120, 80
    return unary, image + rng.integers(0, 9, image.shape, dtype=np.uint8)


def usual(spatial=None, bilateral=None):
    """A model with both kernels; the dictionaries change their arguments."""
    unary, image = scene()
    model = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    model.setUnaryEnergy(unary)
    model.addPairwiseGaussian(**{"sxy": 2, "compat": 3, **(spatial or {})})
    given = {"sxy": 5, "srgb": 20, "rgbim": image, "compat": 4}
    model.addPairwiseBilateral(**{**given, **(bilateral or {})})
    return model


def stepped(model, iterations):
    """The marginals of the general engine."""
    marginals, *_ = model.startInference()
    for _ in range(iterations):
        model.stepInference(marginals)
    return marginals


def runs_fast(model, monkeypatch):
    """Whether inference uses the fast engine."""
    calls = []
    run = image_kernels.numba_mean_field
    monkeypatch.setattr(
        image_kernels, "numba_mean_field", lambda *a, **b: (calls.append(a), run(*a, **b))
    )
    model.inference(1)
    return bool(calls)


@pytest.mark.parametrize("normalization", list(dcrf.NormalizationType)[1:])
@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_both_engines_agree(normalization, iterations, monkeypatch):
    both = {"normalization": normalization}
    model = usual(both, both)
    fast = model.inference(iterations)
    np.testing.assert_allclose(fast, stepped(model, iterations), atol=2e-6)
    assert runs_fast(model, monkeypatch)
    assert fast.dtype == np.float32 and fast.T.flags.c_contiguous


def dark_scene(height, width):
    """A model of a dark image, so that the filling points are near its pixels."""
    rng = np.random.default_rng(height)
    model = dcrf.DenseCRF2D(width, height, LABELS)
    model.setUnaryEnergy(rng.uniform(0, 3, (LABELS, height * width)).astype(np.float32))
    image = rng.integers(10, 40, (height, width, 3)).astype(np.uint8)
    model.addPairwiseGaussian(sxy=2, compat=3)
    model.addPairwiseBilateral(sxy=5, srgb=20, rgbim=image, compat=4)
    return model


# One, two and three pixels are in the last block of four.
ODD_SIZES = [(5, 5), (6, 7), (5, 7), (1, 1), (1, 3)]


@pytest.mark.parametrize("size", ODD_SIZES)
def test_both_engines_agree_where_the_binding_fills_a_block(size, monkeypatch):
    model = dark_scene(*size)
    fast = model.inference(4)
    np.testing.assert_allclose(fast, stepped(model, 4), atol=2e-6)
    assert runs_fast(model, monkeypatch)


@pytest.mark.parametrize("size", ODD_SIZES[:3])
def test_the_filling_points_of_the_binding_count(size, monkeypatch):
    model = dark_scene(*size)
    filled = model.inference(4)
    monkeypatch.setattr(image_kernels, "has_filling", lambda num_points: False)
    assert np.abs(model.inference(4) - filled).max() > 2e-5


@pytest.mark.parametrize(
    "side", [321, *(pytest.param(side, marks=pytest.mark.slow) for side in (401, 513))]
)
def test_the_sizes_of_deeplab_run_fast_with_the_same_result(side, monkeypatch):
    rng = np.random.default_rng(side)
    unary = rng.uniform(0, 2, (2, side * side)).astype(np.float32)
    image = np.full((side, side, 3), 5, np.uint8)
    image[80:, 100:] = 160, 120, 80
    image += rng.integers(0, 12, image.shape, dtype=np.uint8)
    model = dcrf.DenseCRF2D(side, side, 2)
    model.setUnaryEnergy(unary)
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=49, srgb=5, rgbim=image, compat=4)
    fast, general = model.inference(3), stepped(model, 3)
    assert np.abs(fast - general).mean() <= 1e-5
    assert (fast.argmax(axis=0) == general.argmax(axis=0)).mean() > 0.999
    assert runs_fast(model, monkeypatch)


def test_improbable_labels_are_not_clamped(monkeypatch):
    # `crf.refine` clamps probabilities to 1e-5; here an energy of 15 must stay 15.
    unary, _ = scene()
    unary[0] += 15
    unary[1, 5] = np.inf
    model = usual()
    model.setUnaryEnergy(unary)
    fast = model.inference(3)
    np.testing.assert_allclose(fast, stepped(model, 3), atol=2e-6)
    assert fast[0].max() < 1e-5 and fast[1, 5] == 0
    assert runs_fast(model, monkeypatch)


@pytest.mark.parametrize(
    ("spatial", "bilateral"),
    [
        ({"sxy": (2, 1)}, {}),
        ({}, {"srgb": (20, 20, 10)}),
        ({"compat": np.full(LABELS, -3, np.float32)}, {}),
        ({"compat": -1}, {}),
        ({"compat": 50}, {}),
        ({"normalization": dcrf.NORMALIZE_AFTER}, {}),
        ({}, {"srgb": 0.05}),
    ],
)
def test_other_kernels_go_the_general_way(spatial, bilateral, monkeypatch):
    model = usual(spatial, bilateral)
    np.testing.assert_array_equal(model.inference(2), stepped(model, 2))
    assert not runs_fast(model, monkeypatch)


def test_other_numbers_of_kernels_go_the_general_way(monkeypatch):
    model = usual()
    model.addPairwiseGaussian(3, 1)
    assert not runs_fast(model, monkeypatch)


def test_the_image_is_copied():
    _, image = scene()
    model = usual(bilateral={"rgbim": image})
    wanted = model.inference(2)
    image[:] = 0
    np.testing.assert_array_equal(model.inference(2), wanted)


@pytest.mark.parametrize("bilateral", [{}, {"sxy": (5, 4)}])
def test_any_number_of_threads_gives_the_same_bits(bilateral):
    unary, image = scene()
    results = []
    for threads in (1, 3):
        model = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS, num_threads=threads)
        model.setUnaryEnergy(unary)
        model.addPairwiseGaussian(sxy=2, compat=3)
        model.addPairwiseBilateral(
            **{"sxy": 5, "srgb": 20, "rgbim": image, "compat": 4} | bilateral
        )
        results.append(model.inference(4))
    np.testing.assert_array_equal(*results)


def test_number_of_threads_must_be_whole():
    with pytest.raises(ValueError, match="num_threads must be a whole number of at least 1, not 0"):
        dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS, num_threads=0)
