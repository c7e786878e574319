import dataclasses

import numpy as np
import pytest

from crf.params import NORMALIZATIONS, CRFParams, pixel_features


def test_defaults_are_the_published_ones():
    assert dataclasses.asdict(CRFParams()) == {
        "w1": 4,
        "sigma_alpha": 67,
        "sigma_beta": 3,
        "w2": 3,
        "sigma_gamma": 3,
        "iterations": 10,
        "normalization": "symmetric",
    }


def test_numbers_become_plain_python_numbers():
    params = CRFParams(w1=np.float32(2.5), sigma_alpha=np.int64(7), iterations=np.int32(4))
    assert type(params.w1) is float and params.w1 == 2.5
    assert type(params.sigma_alpha) is float and type(params.iterations) is int


def test_is_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CRFParams().w1 = 2
    assert len({CRFParams(), CRFParams(w1=4.0), CRFParams(w1=5)}) == 2


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_takes_every_normalization(normalization):
    assert CRFParams(normalization=normalization).normalization == normalization


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w1", -1),
        ("w2", float("nan")),
        ("w1", "4"),
        ("sigma_alpha", 0),
        ("sigma_beta", -3),
        ("sigma_gamma", float("inf")),
        ("sigma_gamma", None),
        ("iterations", -1),
        ("iterations", 2.5),
        ("iterations", True),
        ("normalization", "both"),
    ],
)
def test_bad_value_is_named_in_one_line(name, value):
    with pytest.raises(ValueError, match=name) as error:
        CRFParams(**{name: value})
    assert "\n" not in str(error.value) and repr(value) in str(error.value)


def test_pixel_features_by_hand():
    image = np.uint8(
        [[[0, 30, 60], [90, 120, 150], [0, 0, 0]], [[255, 0, 0], [3, 6, 9], [1, 1, 1]]]
    )
    params = CRFParams(sigma_alpha=2, sigma_beta=3, sigma_gamma=4)
    bilateral, spatial = pixel_features(image, params)
    assert bilateral.shape == (6, 5) and spatial.shape == (6, 2)
    np.testing.assert_allclose(bilateral[1], [0.5, 0, 30, 40, 50])
    np.testing.assert_allclose(bilateral[4], [0.5, 0.5, 1, 2, 3])
    np.testing.assert_allclose(spatial[5], [0.5, 0.25])
