from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from crf import ENGINES, NORMALIZATIONS, CRFParams, dense_crf, warm_up

PARAMS = CRFParams(w1=4, sigma_alpha=20, sigma_beta=10, w2=3, sigma_gamma=2, iterations=4)


def scene(height, width, num_classes, batch=1, seed=0):
    """Images of four vertical stripes, and noisy probabilities of the stripes."""
    rng = np.random.default_rng(seed)
    stripe = np.arange(width) * 4 // width
    scores = rng.normal(size=(batch, height, width, num_classes))
    scores += 1.0 * (np.arange(num_classes) == stripe[:, None] % num_classes)
    images = 60 * stripe[:, None] + rng.integers(0, 12, (batch, height, width, 3))
    return softmax(scores).astype(np.float32), images.astype(np.uint8)


def brute_force(probabilities, image, params):
    """The model by its definition, in float64."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    p = np.stack([x, y], axis=-1).reshape(-1, 2).astype(float)
    color = image.reshape(-1, 3).astype(float)

    def squares(v):
        return ((v[:, None] - v[None]) ** 2).sum(axis=-1)

    bilateral = squares(p) / params.sigma_alpha**2 + squares(color) / params.sigma_beta**2
    kernels = [np.exp(-bilateral / 2), np.exp(-squares(p) / (2 * params.sigma_gamma**2))]
    for kernel in kernels:
        rows = kernel.sum(axis=1)
        if params.normalization == "symmetric":
            kernel /= np.sqrt(rows[:, None] * rows[None])
        elif params.normalization != "none":
            kernel /= rows[:, None] if params.normalization == "after" else rows[None]
    logits = np.log(np.maximum(probabilities.reshape(height * width, -1), 1e-5))
    q = softmax(logits)
    for _ in range(params.iterations):
        q = softmax(logits + (params.w1 * kernels[0] + params.w2 * kernels[1]) @ q)
    return q.reshape(probabilities.shape)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def with_normalization(normalization):
    return CRFParams(w1=1, sigma_alpha=5, w2=0.5, iterations=3, normalization=normalization)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_exact_engine_equals_brute_force(normalization):
    probabilities, images = scene(5, 7, 3)
    params = with_normalization(normalization)
    result = dense_crf(probabilities, images, params, engine="exact")
    expected = brute_force(probabilities[0], images[0], params)
    np.testing.assert_allclose(result[0], expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_corrects_single_wrong_pixels_and_keeps_a_border(engine):
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 200
    label = np.zeros((8, 8), int)
    label[:, 4:] = 1
    guess = label.copy()
    guess[2, 1], guess[5, 6] = 1, 0
    probabilities = np.where(np.arange(2) == guess[..., None], 0.7, 0.3)[None]
    result = dense_crf(probabilities, image, PARAMS, engine).numpy()
    np.testing.assert_array_equal(result[0].argmax(-1), label)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_lattices_agree_with_exact(normalization):
    probabilities, images = scene(20, 28, 4)
    weight = 0.02 if normalization == "none" else 3
    params = CRFParams(
        w1=weight, sigma_alpha=9, sigma_beta=10, w2=weight, normalization=normalization
    )
    exact, numba, lattice = (
        dense_crf(probabilities, images, params, engine).numpy().argmax(-1)
        for engine in ("exact", "numba", "lattice")
    )
    assert (exact != probabilities.argmax(-1)).mean() > 0.2  # the CRF has work to do
    # In a sparse lattice, values blurred towards missing vertices are lost, here half of the
    # bilateral kernel's sum; normalization compensates for that.
    for labels in (numba, lattice):
        assert (exact == labels).mean() > (0.8 if normalization == "none" else 0.99)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(1, 9, 3), (9, 1, 3), (6, 5, 40), (3, 4, 2)])
def test_every_shape_gives_probabilities(engine, shape):
    result = dense_crf(*scene(*shape), PARAMS, engine).numpy()
    assert result.shape == (1, *shape) and result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-5)
    assert result.min() >= 0


@pytest.mark.parametrize("engine", ENGINES)
def test_one_pixel_by_hand(engine):
    # With normalization, a single pixel gets back its own Q from both kernels.
    params = CRFParams(w1=2, w2=1, iterations=1)
    result = dense_crf([[[[0.8, 0.2]]]], np.full((1, 1, 1, 3), 77, np.uint8), params, engine)
    expected = softmax(np.log([0.8, 0.2]) + 3 * np.array([0.8, 0.2]))
    np.testing.assert_allclose(result[0, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_zero_weights_return_the_clamped_input(engine):
    probabilities, images = scene(4, 5, 3)
    probabilities[0, 0, 0] = [0, 1, 0]
    clamped = np.maximum(probabilities, 1e-5)
    result = dense_crf(probabilities, images, CRFParams(w1=0, w2=0), engine)
    expected = clamped / clamped.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_permuted_labels_permute_the_result(engine):
    probabilities, images = scene(8, 9, 5)
    order = [3, 0, 4, 1, 2]
    permuted = dense_crf(probabilities[..., order], images, PARAMS, engine)
    straight = dense_crf(probabilities, images, PARAMS, engine).numpy()
    np.testing.assert_allclose(permuted, straight[..., order], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_equals_each_image_alone(engine):
    probabilities, images = scene(8, 9, 3, batch=3)
    images[1], images[2] = 255 - images[1] // 2, np.roll(images[2], 3, axis=1)
    both = dense_crf(probabilities, images, PARAMS, engine)
    for i in range(3):
        alone = dense_crf(probabilities[i : i + 1], images[i : i + 1], PARAMS, engine)
        np.testing.assert_allclose(both[i], alone[0], atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_accepts_half_and_double_precision(engine):
    probabilities, images = scene(4, 5, 3)
    straight = dense_crf(probabilities, images, PARAMS, engine)
    double = dense_crf(probabilities.astype(np.float64), images, PARAMS, engine)
    half = dense_crf(probabilities.astype(np.float16), images, PARAMS, engine)
    assert double.dtype == half.dtype == tf.float32
    np.testing.assert_allclose(double, straight, atol=1e-6)
    np.testing.assert_allclose(half, straight, atol=2e-2)


@pytest.mark.parametrize(
    "dtype", [tf.float16, pytest.param(tf.bfloat16, marks=pytest.mark.bfloat16), tf.float32]
)
@pytest.mark.usefixtures("tf_seed")
def test_accepts_a_softmax_in_any_precision(dtype):
    scores = tf.random.normal([1, 40, 50, 21], stddev=2)
    probabilities = tf.nn.softmax(tf.cast(scores, dtype))
    images, params = np.zeros((1, 40, 50, 3), np.uint8), CRFParams(w1=0, w2=0, iterations=1)
    for run in (dense_crf, tf.function(dense_crf)):
        result = run(probabilities, images, params)
        np.testing.assert_allclose(result, tf.nn.softmax(scores), atol=2e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_given_weights_and_compatibility_replace_those_of_the_params(engine):
    data, costs = scene(7, 8, 3), ((0, 2, 1), (1, 0, 1), (0.5, 1, 0))
    other = CRFParams(w1=9, sigma_alpha=20, sigma_beta=10, w2=0, sigma_gamma=2, iterations=4)
    given = dense_crf(*data, other, engine, weights=(4, 3), compatibility=costs)
    own = dense_crf(*data, replace(PARAMS, compatibility=costs), engine)
    np.testing.assert_allclose(given, own, atol=1e-6)
    assert np.abs(given - dense_crf(*data, PARAMS, engine)).max() > 0.01


def test_warm_up_prints_nothing(capfd):
    warm_up()
    assert capfd.readouterr() == ("", "")


def golden(folder, case):
    with np.load(folder / f"case{case}.npz") as data:
        arrays = dict(data)
    names = ("probabilities", "image", "result")
    probabilities, image, result = (arrays.pop(name) for name in names)
    params = CRFParams(**{name: value.item() for name, value in arrays.items()})
    return probabilities[None], image[None], params, result


@pytest.mark.parametrize(
    "engine", ["numba", "lattice", pytest.param("xla", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("case", range(6))
def test_lattices_reproduce_the_reference(crf_golden, case, engine):
    *data, expected = golden(crf_golden, case)
    result = dense_crf(*data, engine=engine)[0].numpy()
    # Every point lies in the same simplex, so that only the rounding of sums differs.
    assert np.abs(result - expected).max() < 5e-6
    assert np.abs(result - expected).mean() < 1e-7


@pytest.mark.parametrize("case", [4, 5])
def test_lattices_agree_with_exact_on_real_images(crf_golden, case):
    *data, _ = golden(crf_golden, case)
    exact, numba, lattice = (
        dense_crf(*data, engine=engine).numpy().argmax(-1)
        for engine in ("exact", "numba", "lattice")
    )
    assert (exact == numba).mean() > 0.99
    assert (exact == lattice).mean() > 0.99


@pytest.mark.parametrize("engine", ENGINES)
def test_eager_calls_leave_nothing_behind_for_a_new_size(engine, monkeypatch):
    # TensorFlow keeps a kernel for each value of an operation's attributes, such as this shape.
    ensure_shape = tf.ensure_shape

    def checked(*arguments):
        assert not tf.executing_eagerly()
        return ensure_shape(*arguments)

    monkeypatch.setattr(tf, "ensure_shape", checked)
    refined = dense_crf(*scene(4, 5, 3), CRFParams(iterations=1), engine)
    assert refined.shape == (1, 4, 5, 3)
