"""Bad arguments: the exceptions of pydensecrf, with messages that name the remedy."""

import numpy as np
import pytest

import crf.pydensecrf.densecrf as dcrf

IMAGE = np.zeros((4, 5, 3), np.uint8)


def ones(*shape):
    return np.ones(shape, np.float32)


def model():
    return dcrf.DenseCRF2D(5, 4, 3)


@pytest.mark.parametrize(
    ("unary", "error", "message"),
    [
        (np.ones((3, 20)), ValueError, "u must be float32, not float64; give u.astype"),
        (ones(20, 3), ValueError, r"must be \(3, 20\), one row for each label, not \(20, 3\)"),
        (ones(3, 4, 5), ValueError, r"u must be \(nlabels, N\), not \(3, 4, 5\)"),
        (None, TypeError, "u must be a NumPy array of float32 .*, not NoneType"),
        ([[1.0]], TypeError, r"not list; give np\.array\(u, np\.float32\)"),
        (ones(3, 20) * np.nan, ValueError, "unary energy holds NaN, minus infinity, or a point"),
        (ones(3, 20) * np.inf, ValueError, "a point without any finite energy"),
        (ones(3, 20) * -np.inf, ValueError, "minus infinity"),
    ],
)
def test_unary_energies(unary, error, message):
    with pytest.raises(error, match=message):
        model().setUnaryEnergy(unary)


def test_unary_objects():
    with pytest.raises(TypeError, match="setUnary needs ConstUnary or LogisticUnary, not ndarray"):
        model().setUnary(ones(3, 20))
    with pytest.raises(ValueError, match=r"f must be \(4, N\), not \(5, 20\)"):
        dcrf.LogisticUnary(ones(3, 4), ones(5, 20))
    with pytest.raises(ValueError, match=r"must be \(3, 20\), one row .*, not \(3, 21\)"):
        model().setUnary(dcrf.LogisticUnary(ones(3, 4), ones(4, 21)))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((2, 20)), "features must be float32, not float64"),
        (ones(20, 2), r"features must be \(d, 20\), not \(20, 2\)"),
        (ones(2, 20) * np.inf, "features hold NaN or infinite values"),
        (ones(15, 20), r"must be \(d, N\) with d of at most 14, but are \(15, 20\)"),
    ],
)
def test_features(features, message):
    with pytest.raises(ValueError, match=message):
        model().addPairwiseEnergy(features, compat=3)


@pytest.mark.parametrize(
    ("compat", "error", "message"),
    [
        # A published test of the binding: float64 is refused.
        (np.array([1.0, 2.0, 3.0]), ValueError, "compat must be float32, not float64"),
        (ones(2), ValueError, r"compat must be \(3,\), not \(2,\)"),
        (ones(3, 2), ValueError, r"compat must be \(3, 3\), not \(3, 2\)"),
        (ones(3, 3, 3), ValueError, r"compat must be .*, but has 3 dimensions"),
        ([1.0, 2.0, 3.0], TypeError, "compat must be a NumPy array of float32 .*, not list"),
        (np.nan, ValueError, "compat must be finite, not nan"),
        (ones(3) * np.inf, ValueError, "compat holds NaN or infinite"),
    ],
)
def test_compatibilities(compat, error, message):
    for add in (
        lambda: model().addPairwiseEnergy(ones(2, 20), compat),
        lambda: model().addPairwiseGaussian(3, compat),
        lambda: model().addPairwiseBilateral(3, 3, IMAGE, compat),
    ):
        with pytest.raises(error, match=message):
            add()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE.astype(float), "rgbim must be uint8, not float64"),
        (IMAGE[..., :1], "needs an image of 3 channels, not 1; .*create_pairwise_bilateral"),
        (IMAGE[..., [0, 1, 2, 2]], "needs an image of 3 channels, not 4"),
        (IMAGE[..., 0], r"rgbim must be \(4, 5, 3\), not \(4, 5\)"),
        (IMAGE.transpose(1, 0, 2), r"rgbim must be \(4, 5, 3\), not \(5, 4, 3\)"),
    ],
)
def test_images(image, message):
    with pytest.raises(ValueError, match=message):
        model().addPairwiseBilateral(sxy=3, srgb=3, rgbim=image, compat=3)


@pytest.mark.parametrize("sigma", [0, -1, np.nan, np.inf, (1, 2, 3, 4), (), "3"])
def test_deviations(sigma):
    with pytest.raises(ValueError, match="sxy must be"):
        model().addPairwiseGaussian(sigma, 3)
    with pytest.raises(ValueError, match="srgb must be"):
        model().addPairwiseBilateral(3, sigma, IMAGE, 3)


@pytest.mark.parametrize("bad", [7, -1, "DIAG_KERNEL", None])
def test_kernel_and_normalization_types(bad):
    kinds = "CONST_KERNEL (0), DIAG_KERNEL (1), FULL_KERNEL (2)"
    with pytest.raises(ValueError) as error:
        model().addPairwiseGaussian(3, 3, kernel=bad)
    assert str(error.value) == f"pydensecrf: kernel must be one of {kinds}, not {bad!r}"
    kinds = (
        "NO_NORMALIZATION (0), NORMALIZE_BEFORE (1), NORMALIZE_AFTER (2), NORMALIZE_SYMMETRIC (3)"
    )
    with pytest.raises(ValueError) as error:
        model().addPairwiseGaussian(3, 3, normalization=bad)
    assert str(error.value) == f"pydensecrf: normalization must be one of {kinds}, not {bad!r}"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4, 3), ValueError, "w must be at least 1, not 0"),
        ((5, 4, 0), ValueError, "nlabels must be at least 1, not 0"),
        ((5, 4.5, 3), TypeError, r"h must be a whole number, not 4\.5"),
    ],
)
def test_sizes(arguments, error, message):
    with pytest.raises(error, match=message):
        dcrf.DenseCRF2D(*arguments)


def test_iterations():
    with pytest.raises(TypeError, match=r"niter must be a whole number, not 2\.5"):
        model().inference(2.5)
    with pytest.raises(ValueError, match="niter must be at least 0, not -1"):
        model().inference(-1)


@pytest.mark.parametrize("call", ["stepInference", "klDivergence"])
def test_marginals(call):
    with pytest.raises(ValueError, match=r"Q must be \(3, 20\), not \(20, 3\)"):
        getattr(model(), call)(ones(20, 3))
    with pytest.raises(ValueError, match="Q must be float32, not float64"):
        getattr(model(), call)(np.ones((3, 20)))
    with pytest.raises(ValueError, match="Q holds NaN or infinite values; check what computed it"):
        getattr(model(), call)(ones(3, 20) * np.nan)
