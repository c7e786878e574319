import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks

from crf import CRFParams, refine
from crf.dense import check_options
from deeplab_tf.export.served_crf import INPUTS, crf_inputs, refine_each, with_crf_inputs

PARAMS = CRFParams(w1=5, sigma_alpha=9, sigma_beta=20, w2=2, sigma_gamma=2, iterations=2)
SERVE = with_crf_inputs(
    lambda given, values: dict(zip(INPUTS, values, strict=True)),
    tf.TensorSpec([None], tf.string, "files"),
    PARAMS,
)


def test_inputs_have_one_value_for_each_image():
    found = SERVE(["a", "b"], w1=tf.constant([6.0, 7.0]), iterations=tf.constant(4))
    expected = {"w1": [6, 7], "iterations": [4, 4], "sigma_alpha": [9, 9], "sigma_beta": [20, 20]}
    expected |= {"w2": [2, 2], "sigma_gamma": [2, 2]}
    assert {name: value.numpy().tolist() for name, value in found.items()} == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"w2": tf.constant(-1.0)}, "w2 is -1, but must be finite and at least 0"),
        ({"w1": tf.constant(np.inf)}, "w1 is inf, but must be finite and at least 0"),
        ({"sigma_beta": tf.constant(0.0)}, "sigma_beta is 0, but must be finite and above 0"),
        ({"sigma_gamma": tf.constant(np.nan)}, "sigma_gamma is nan, but must be finite and above"),
        ({"iterations": tf.constant(101)}, "iterations is 101, but must be 0 to 100"),
        ({"iterations": tf.constant([-1, 2])}, r"iterations is \[-1 2\], but must be 0 to 100"),
        ({"sigma_alpha": tf.ones(3)}, "sigma_alpha has 3 values for 2 images; send one for each"),
    ],
)
def test_inputs_that_cannot_be(given, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        SERVE(["a", "b"], **given)


@pytest.mark.parametrize(
    "options", [{"engine": "lattice"}, {"engine": "lattice", "prune_below": 0.05}]
)
def test_every_image_is_refined_with_its_own_parameters(options):
    others = CRFParams(w1=1, sigma_alpha=4, sigma_beta=40, w2=6, sigma_gamma=3, iterations=3)
    images = np.stack([blocks(12, 15), blocks(12, 15, seed=1)])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), (2, 12, 15)).astype(np.float32)
    probabilities[..., 2] *= 0.03  # pruned below 0.05
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    pairs = zip(crf_inputs(PARAMS).values(), crf_inputs(others).values(), strict=True)
    values = [tf.concat(pair, 0) for pair in pairs]
    checked = check_options(PARAMS, **options)
    found = refine_each(tf.constant(probabilities), tf.constant(images), values, checked)
    for index, params in enumerate((PARAMS, others)):
        pruned = options.get("prune_below", 0)
        expected = refine(probabilities[index], images[index], params, prune_below=pruned)
        np.testing.assert_allclose(found[index], expected, atol=1e-5)


def test_probabilities_that_cannot_be():
    """Such as those of a network whose weights are NaN."""
    probabilities, images = tf.fill([1, 4, 5, 2], np.nan), tf.zeros([1, 4, 5, 3], tf.uint8)
    values, options = list(crf_inputs(PARAMS).values()), check_options(PARAMS, "lattice")
    with pytest.raises(ValueError, match="probabilities hold NaN or infinite values"):
        refine_each(probabilities, images, values, options)
