"""Gradients of the CRF against float64 central differences, by the largest absolute error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import NORMALIZATIONS, CRFParams, dense_crf
from crf.exact import ExactFilter
from crf.lattice import lattice_filter
from crf.mean_field import _normalized_filter, mean_field

FILTERS = {"lattice": lattice_filter, "exact": ExactFilter}
STEP = 1e-5


def scene(height=4, width=5, num_classes=3):
    """Float64 probabilities away from 0, and an image of two noisy halves."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(num_classes, 3.0), (height, width)) * 0.9
    probabilities += 0.1 / num_classes
    image = 60 * (np.arange(width)[:, None] > 2) + rng.integers(0, 20, (height, width, 3))
    return probabilities, image.astype(np.uint8)


def central_differences(function, arguments, index):
    """Gradient of a scalar function of several arrays with respect to one of them."""
    array = arguments[index]
    gradient = np.empty_like(array)
    for place in np.ndindex(array.shape):
        values = []
        for step in (STEP, -STEP):
            moved = array.copy()
            moved[place] += step
            values.append(float(function(*arguments[:index], moved, *arguments[index + 1 :])))
        gradient[place] = (values[0] - values[1]) / (2 * STEP)
    return gradient


def assert_equals_differences(gradient, differences):
    scale = np.abs(differences).max()
    assert scale > 1e-3  # otherwise nothing is tested
    assert np.abs(gradient - differences).max() <= 1e-6 * scale


@pytest.mark.parametrize(
    ("engine", "normalization"),
    [("lattice", "symmetric"), ("lattice", "none"), ("exact", "symmetric"), ("exact", "after")],
)
def test_inference_gradients_equal_differences(engine, normalization):
    probabilities, image = scene()
    rng = np.random.default_rng(1)
    readout = rng.normal(size=probabilities.shape)
    # Without normalization the kernels of 20 pixels have sums well above one.
    scale = 0.2 if normalization == "none" else 1.0
    weights, costs = scale * np.array([1.2, 0.7]), rng.normal(size=(3, 3)) - np.eye(3)
    params = CRFParams(
        sigma_alpha=3, sigma_beta=20, sigma_gamma=1.5, iterations=2, normalization=normalization
    )

    def value(probabilities, weights, costs):
        marginals = mean_field(
            probabilities, image, params, FILTERS[engine], tf.unstack(weights, 2), costs
        )
        return tf.reduce_sum(readout * marginals)

    def gradients(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            result = value(*arguments)
        return tape.gradient(result, arguments)

    # Sizes that only the running graph knows.
    unknown = [tf.TensorSpec(s, tf.float64) for s in ([None] * 3, [None], [None] * 2)]
    run = tf.function(value, input_signature=unknown)
    arguments = [probabilities, weights, costs]
    computed = [gradients(*map(tf.constant, arguments))]
    if (engine, normalization) == ("lattice", "symmetric"):
        in_graph = tf.function(gradients, input_signature=unknown)
        computed.append(in_graph(*map(tf.constant, arguments)))
    for index in range(3):
        differences = central_differences(run, arguments, index)
        for gradient in computed:
            assert_equals_differences(gradient[index], differences)


@pytest.mark.parametrize("d", [2, 5])
def test_transposed_filter_is_the_adjoint(d):
    rng = np.random.default_rng(0)
    run = lattice_filter(tf.constant(rng.normal(size=(60, d)) * 1.5))
    a, b = tf.constant(rng.random((2, 60, 3)))
    with tf.GradientTape() as tape:
        tape.watch(b)
        filtered = run(b)
    backwards = tape.gradient(filtered, b, output_gradients=a)
    # All values are positive, so that nothing cancels in the sums.
    forth, back = (tf.reduce_sum(x * y, axis=0).numpy() for x, y in ((a, filtered), (backwards, b)))
    assert np.abs(forth - back).max() <= 1e-12 * forth.min()
    # The filter is not symmetric: using it in place of the adjoint would fail.
    own = tf.reduce_sum(run(a) * b, axis=0).numpy()
    assert np.abs(forth - own).max() > 1e-6 * forth.min()


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.usefixtures("tf_seed")
def test_gradient_of_the_gradient_is_the_filter(d):
    features = tf.random.normal([30, d], dtype=tf.float64)
    run = lattice_filter(features)
    values, upstream, direction = tf.random.uniform([3, 30, 2], dtype=tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(upstream)
        with tf.GradientTape() as inner:
            inner.watch(values)
            filtered = run(values)
        backwards = inner.gradient(filtered, values, output_gradients=upstream)
    twice = outer.gradient(backwards, upstream, output_gradients=direction)
    np.testing.assert_allclose(twice, run(direction), rtol=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("engine", FILTERS)
@pytest.mark.usefixtures("tf_seed")
def test_normalization_swaps_sides_in_the_gradient(engine, normalization):
    features = tf.constant(np.random.default_rng(0).normal(size=(20, 2)) * 2)
    ones, eye = tf.ones([20, 1], tf.float64), tf.eye(20, dtype=tf.float64)
    plain = FILTERS[engine](features)
    rows, matrix = plain(ones).numpy(), plain(eye).numpy()
    # As matrices, with R the diagonal matrix of the row sums: (K / R)' = K' / R and so on.
    left = {"none": 1, "before": rows, "after": 1, "symmetric": np.sqrt(rows)}[normalization]
    right = {"none": 1, "before": 1, "after": rows, "symmetric": np.sqrt(rows)}[normalization]
    run = _normalized_filter(plain, ones, normalization)
    upstream = tf.random.normal([20, 3], dtype=tf.float64)
    values = tf.random.normal([20, 3], dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(values)
        filtered = run(values)
    gradient = tape.gradient(filtered, values, output_gradients=upstream)
    expected = (matrix.T @ (upstream.numpy() / right)) / left
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("engine", "in_graph"), [("lattice", True), ("exact", False)])
@pytest.mark.usefixtures("tf_seed")
def test_dense_crf_passes_gradients_of_a_batch(engine, in_graph):
    probabilities, image = scene()
    batch = tf.constant(np.stack([probabilities, probabilities[::-1]]), tf.float32)
    images = tf.constant(np.stack([image, image[:, ::-1]]))
    w1, w2 = tf.Variable(1.2), keras.Variable(0.7)
    costs = tf.Variable(1 - np.eye(3), dtype=tf.float32)
    readout = tf.random.normal(batch.shape)
    params = CRFParams(sigma_alpha=3, sigma_beta=20, iterations=2)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(batch)
            refined = dense_crf(
                batch, images, params, engine, weights=(w1, w2), compatibility=costs
            )
            loss = tf.reduce_sum(readout * refined)
        return tape.gradient(loss, [batch, w1, w2.value, costs])

    from_float64 = []
    for i in range(2):
        given = [tf.cast(tensor, tf.float64) for tensor in (batch[i], w1, w2, costs)]
        with tf.GradientTape() as tape:
            tape.watch(given)
            refined = mean_field(given[0], images[i], params, FILTERS[engine], given[1:3], given[3])
            loss = tf.reduce_sum(tf.cast(readout[i], tf.float64) * refined)
        from_float64.append(tape.gradient(loss, given))
    first, second = from_float64
    expected = [np.stack([first[0], second[0]])]
    expected += [(a + b).numpy() for a, b in zip(first[1:], second[1:], strict=True)]
    result = (tf.function(gradients) if in_graph else gradients)()
    for mine, wanted in zip(result, expected, strict=True):
        assert np.abs(mine - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_given_weights_of_zero_have_a_gradient():
    probabilities, image = scene()
    batch = tf.constant(probabilities[None], tf.float32)
    weights = [tf.Variable(0.0), tf.Variable(0.0)]
    with tf.GradientTape() as tape:
        refined = dense_crf(batch, image[None], CRFParams(w1=0, w2=0), weights=weights)
        loss = tf.reduce_sum(refined[..., 0] ** 2)
    assert all(abs(float(slope)) > 1e-4 for slope in tape.gradient(loss, weights))
