"""Properties that hold for every image, tested on images that hypothesis draws."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crf import ENGINES, NORMALIZATIONS, CRFParams, dense_crf
from crf.cpu.mean_field import numba_mean_field
from crf.mean_field import mean_field
from crf.tensor_inference import FILTERS

pytestmark = pytest.mark.filterwarnings("ignore:dense_crf. every pixel gets label 0:UserWarning")


# The same examples in every run, and no time limit, because the first call compiles.
few = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
more = settings(few, max_examples=20)

every_engine = pytest.mark.parametrize(
    "engine",
    # xla has the same mean field as lattice, and another lattice, which has its own tests.
    [pytest.param(name, marks=pytest.mark.slow) if name == "xla" else name for name in ENGINES],
)
labels_counts = st.one_of(st.integers(1, 5), st.sampled_from([2, 8, 21, 64]))
sizes = st.one_of(
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    st.sampled_from([(1, 1), (1, 2), (1, 30), (30, 1), (9, 16)]),
)


@st.composite
def scenes(draw, labels=labels_counts):
    """Probabilities (H, W, C) of at least 1e-4, and an image (H, W, 3)."""
    shape = *draw(sizes), draw(labels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = draw(st.floats(0.1, 4)) * rng.normal(size=shape)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True)) + 2e-4 * shape[2]
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    # Levels that hypothesis can make equal; noise from a seed, which is faster to draw.
    level = arrays.arrays(
        np.int64, shape[:2], elements=st.sampled_from([0, 60, 255]), fill=st.just(60)
    )
    noise = rng.integers(0, draw(st.sampled_from([1, 20, 256])), (*shape[:2], 3))
    image = np.clip(draw(level)[..., None] + noise, 0, 255)
    return probabilities.astype(np.float32), image.astype(np.uint8)


@st.composite
def all_params(draw, **fixed):
    """CRF parameters from the papers' ranges and beyond."""
    normalization = draw(st.sampled_from(NORMALIZATIONS))
    # Without normalization the kernels of a hundred pixels have sums of about a hundred.
    heaviest = 0.1 if normalization == "none" else 6.0
    drawn = {
        "w1": draw(st.floats(0, heaviest)),
        "sigma_alpha": draw(st.floats(0.5, 100)),
        "sigma_beta": draw(st.floats(2, 60)),
        "w2": draw(st.floats(0, heaviest)),
        "sigma_gamma": draw(st.floats(0.3, 20)),
        "iterations": draw(st.integers(0, 5)),
        "normalization": normalization,
    }
    return CRFParams(**(drawn | fixed))


def refine(scene, params, engine="numba", **options):
    probabilities, image = scene
    return dense_crf(probabilities[None], image[None], params, engine, **options)[0].numpy()


def run_unchecked(engine, probabilities, image, params):
    """The engine on probabilities that need not sum to one."""
    if engine == "numba":
        refined = np.empty_like(probabilities)
        numba_mean_field(probabilities, image, params, refined)
        return refined
    return mean_field(tf.constant(probabilities), image, params, FILTERS[engine]).numpy()


@every_engine
@few
@given(scene=scenes(), params=all_params())
def test_rows_sum_to_one(engine, scene, params):
    refined = refine(scene, params, engine)
    assert refined.shape == scene[0].shape and refined.dtype == np.float32
    assert refined.min() >= 0
    np.testing.assert_allclose(refined.sum(axis=-1), 1, atol=1e-5)


@few
@given(
    scene=scenes(),
    params=all_params(),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, tf.bfloat16.as_numpy_dtype]),
    order=st.sampled_from("CF"),
    copies=st.integers(1, 3),
)
def test_any_type_memory_order_and_batch(scene, params, dtype, order, copies):
    batch, images = (np.stack([array] * copies) for array in scene)
    given_batch = np.array(batch, dtype, order=order), np.array(images, order=order)
    refined = dense_crf(*given_batch, params, "numba").numpy()
    same = np.array(given_batch[0][0], np.float32, order="C")
    assert refined.shape == batch.shape and refined.dtype == np.float32
    # In 16-bit types the sums are not exactly one, so this is the engine without the checks.
    expected = run_unchecked("numba", same, scene[1], params)
    np.testing.assert_array_equal(refined, np.stack([expected] * copies))


@more
@given(scene=scenes(), params=all_params(), prune_below=st.floats(0, 1), threads=st.integers(1, 4))
def test_rows_sum_to_one_with_pruning(scene, params, prune_below, threads):
    refined = refine(scene, params, num_threads=threads, prune_below=prune_below)
    assert refined.min() >= 0
    np.testing.assert_allclose(refined.sum(axis=-1), 1, atol=1e-5)


@every_engine
@few
@given(scene=scenes(), params=all_params(w1=0, w2=0))
def test_zero_weights_return_the_input(engine, scene, params):
    np.testing.assert_allclose(refine(scene, params, engine), scene[0], rtol=1e-5)


@every_engine
@few
@given(scene=scenes(labels=st.just(1)), params=all_params())
def test_a_single_label_has_probability_one(engine, scene, params):
    np.testing.assert_allclose(refine(scene, params, engine), 1, atol=1e-6)


@every_engine
@few
@given(scene=scenes(), params=all_params(), data=st.data())
def test_permuted_labels_permute_the_result(engine, scene, params, data):
    probabilities, image = scene
    order = data.draw(st.permutations(range(probabilities.shape[2])))
    permuted = refine((probabilities[..., order], image), params, engine)
    np.testing.assert_allclose(permuted, refine(scene, params, engine)[..., order], atol=1e-4)


@every_engine
@few
@given(scene=scenes(labels=st.integers(2, 5)), params=all_params(), data=st.data())
def test_a_compatibility_is_permuted_with_the_labels(engine, scene, params, data):
    probabilities, image = scene
    labels = probabilities.shape[2]
    order = data.draw(st.permutations(range(labels)))
    costs = np.random.default_rng(data.draw(st.integers(0, 99))).random((labels, labels))
    straight = refine(scene, replace(params, compatibility=costs), engine)
    params = replace(params, compatibility=costs[np.ix_(order, order)])
    permuted = refine((probabilities[..., order], image), params, engine)
    np.testing.assert_allclose(permuted, straight[..., order], atol=1e-4)


@every_engine
@few
@given(scene=scenes(), params=all_params(), data=st.data())
def test_scaling_all_probabilities_of_a_pixel_changes_nothing(engine, scene, params, data):
    # All scaled probabilities stay above the floor of 1e-5.
    probabilities, image = scene
    factors = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(
        0.2, 5, (*image.shape[:2], 1)
    )
    scaled = run_unchecked(engine, (probabilities * factors).astype(np.float32), image, params)
    np.testing.assert_allclose(
        scaled, run_unchecked(engine, probabilities, image, params), atol=1e-4
    )


@few
@given(scene=scenes(), params=all_params())
def test_exact_inference_of_a_mirrored_image_is_mirrored(scene, params):
    # Not true of the lattice, whose vertices lie elsewhere in the mirrored image.
    mirrored = refine([array[:, ::-1] for array in scene], params, "exact")
    np.testing.assert_allclose(mirrored, refine(scene, params, "exact")[:, ::-1], atol=1e-4)


@more
@given(scene=scenes(), params=all_params(), prune_below=st.sampled_from([0.0, 0.2, 0.6]))
def test_the_same_input_gives_bit_identical_results(scene, params, prune_below):
    once, *others = (
        refine(scene, params, num_threads=threads, prune_below=prune_below)
        for threads in (None, None, 1, 3)
    )
    for other in others:
        np.testing.assert_array_equal(other, once)


@more
@given(scene=scenes(), params=all_params())
def test_numba_equals_the_lattice(scene, params):
    difference = np.abs(refine(scene, params) - refine(scene, params, "lattice"))
    assert difference.max() < 1e-4 and difference.mean() < 1e-5


@few
@given(scene=scenes(labels=st.integers(1, 9)), params=all_params(), data=st.data())
def test_numba_equals_the_lattice_with_a_compatibility(scene, params, data):
    labels = scene[0].shape[2]
    costs = np.random.default_rng(data.draw(st.integers(0, 99))).random((labels, labels))
    params = replace(params, compatibility=costs)
    difference = np.abs(refine(scene, params) - refine(scene, params, "lattice"))
    assert difference.max() < 1e-4 and difference.mean() < 1e-5


@few
@given(scene=scenes(), others=scenes(), params=all_params(), threads=st.integers(1, 3))
def test_an_image_does_not_depend_on_the_previous_one(scene, others, params, threads):
    alone = refine(scene, params, num_threads=threads)
    refine(others, params, num_threads=threads)
    np.testing.assert_array_equal(refine(scene, params, num_threads=threads), alone)
