from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from crf import ENGINES, NORMALIZATIONS, CRFParams, dense_crf, warm_up

PARAMS = CRFParams(w1=4, sigma_alpha=20, sigma_beta=10, w2=3, sigma_gamma=2, iterations=4)


def scene(height, width, num_classes, batch=1, seed=0):
    """Images of four vertical stripes, and probabilities that guess the stripes badly."""
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
def test_a_lone_wrong_pixel_is_put_right_and_a_border_kept(engine):
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 200
    label = np.zeros((8, 8), int)
    label[:, 4:] = 1
    told = label.copy()
    told[2, 1], told[5, 6] = 1, 0
    probabilities = np.where(np.arange(2) == told[..., None], 0.7, 0.3)[None]
    result = dense_crf(probabilities, image, PARAMS, engine).numpy()
    np.testing.assert_array_equal(result[0].argmax(-1), label)


@pytest.mark.parametrize("engine", ["numba", "lattice"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_lattices_agree_with_exact(engine, normalization):
    probabilities, images = scene(24, 32, 4)
    weight = 0.02 if normalization == "none" else 3
    params = CRFParams(
        w1=weight, sigma_alpha=9, sigma_beta=10, w2=weight, normalization=normalization
    )
    exact, lattice = (
        dense_crf(probabilities, images, params, name).numpy().argmax(-1)
        for name in ("exact", engine)
    )
    assert (exact != probabilities.argmax(-1)).mean() > 0.2  # the CRF has work to do
    # A lattice loses what its sparse vertices pass to no neighbor, here half of the bilateral
    # mass: normalisation makes up for that.
    assert (exact == lattice).mean() > (0.8 if normalization == "none" else 0.99)


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 9, 3), (9, 1, 3), (6, 5, 40), (3, 4, 1)])
def test_every_shape_gives_probabilities(engine, shape):
    result = dense_crf(*scene(*shape), PARAMS, engine).numpy()
    assert result.shape == (1, *shape) and result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-5)
    assert result.min() >= 0


@pytest.mark.parametrize("engine", ENGINES)
def test_one_pixel_by_hand(engine):
    # Normalised, a pixel alone gets its own Q back from both kernels, whatever the lattice.
    params = CRFParams(w1=2, w2=1, iterations=1)
    result = dense_crf([[[[0.8, 0.2]]]], np.full((1, 1, 1, 3), 77, np.uint8), params, engine)
    expected = softmax(np.log([0.8, 0.2]) + 3 * np.array([0.8, 0.2]))
    np.testing.assert_allclose(result[0, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_zero_weights_give_the_clamped_input_back(engine):
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
def test_graph_of_unknown_size_equals_eager(engine):
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, engine), input_signature=signature)
    for shape in ((7, 8, 3), (1, 1, 2)):
        data = scene(*shape, batch=2)
        np.testing.assert_allclose(run(*data), dense_crf(*data, PARAMS, engine), atol=1e-5)


def test_lattice_graph_is_saved_and_served(tmp_path):
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    module = tf.Module()
    module.run = tf.function(lambda p, i: dense_crf(p, i, PARAMS), input_signature=signature)
    graph = module.run.get_concrete_function().graph.as_graph_def()
    kinds = {n.op for f in graph.library.function for n in f.node_def} | {n.op for n in graph.node}
    assert "SparseTensorDenseMatMul" in kinds  # else the loop below looks at an empty graph
    assert not [kind for kind in kinds if "PyFunc" in kind]
    tf.saved_model.save(module, tmp_path)
    data = scene(6, 7, 3)
    served = tf.saved_model.load(tmp_path).run(*map(tf.constant, data))
    np.testing.assert_allclose(served, dense_crf(*data, PARAMS), atol=1e-5)


def test_lattice_gradient_matches_differences():
    probabilities, images = scene(6, 7, 3)
    params = CRFParams(w1=1, sigma_alpha=5, sigma_beta=20, w2=1, iterations=2)
    scores, step = tf.math.log(probabilities), tf.random.normal(probabilities.shape)
    readout = tf.random.normal(probabilities.shape)

    @tf.function
    def loss(scores):
        return tf.reduce_sum(readout * dense_crf(tf.nn.softmax(scores), images, params))

    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(scores)
    slope = tf.reduce_sum(tape.gradient(value, scores) * step)
    differences = (loss(scores + 0.01 * step) - loss(scores - 0.01 * step)) / 0.02
    np.testing.assert_allclose(slope, differences, rtol=1e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_half_and_double_precision_are_taken(engine):
    probabilities, images = scene(4, 5, 3)
    straight = dense_crf(probabilities, images, PARAMS, engine)
    double = dense_crf(probabilities.astype(np.float64), images, PARAMS, engine)
    half = dense_crf(probabilities.astype(np.float16), images, PARAMS, engine)
    assert double.dtype == half.dtype == tf.float32
    np.testing.assert_allclose(double, straight, atol=1e-6)
    np.testing.assert_allclose(half, straight, atol=2e-2)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
def test_a_softmax_in_any_precision_is_taken(dtype, in_graph):
    scores = tf.random.normal([1, 40, 50, 21], stddev=2)
    probabilities = tf.nn.softmax(tf.cast(scores, dtype))
    error = np.abs(tf.reduce_sum(tf.cast(probabilities, tf.float32), axis=-1) - 1).max()
    assert (error > 1e-3) == (dtype != tf.float32)  # half precision needs more tolerance
    images, params = np.zeros((1, 40, 50, 3), np.uint8), CRFParams(w1=0, w2=0, iterations=1)
    run = tf.function(dense_crf) if in_graph else dense_crf
    result = run(probabilities, images, params)
    np.testing.assert_allclose(result, tf.nn.softmax(scores), atol=2e-2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (1, 0, 5, 3), (1, 4, 0, 3)])
def test_a_graph_stops_on_a_size_that_turns_out_empty(engine, shape):
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, engine), input_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="dense_crf: nothing to do"):
        run(np.zeros(shape, np.float32), np.zeros((*shape[:3], 3), np.uint8))


def bits(*args, **options):
    return dense_crf(*args, **options).numpy().tobytes()


def test_auto_is_numba_eagerly_where_there_is_no_gpu(monkeypatch):
    data = scene(12, 15, 5)
    numba, lattice = (bits(*data, PARAMS, engine) for engine in ("numba", "lattice"))
    assert numba != lattice  # else what follows could not tell them apart
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert bits(*data, PARAMS) == bits(*data, PARAMS, num_threads=3) == numba
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert bits(*data, PARAMS) == lattice
    # The other engines cannot prune.
    assert bits(*data, PARAMS, prune_below=1e-9) == numba


def kinds_of_operations(**options):
    """Kinds of the operations in a graph that refines, those in its loops among them."""
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **options), input_signature=signature)
    graph = run.get_concrete_function().graph.as_graph_def()
    return {n.op for f in graph.library.function for n in f.node_def} | {n.op for n in graph.node}


@pytest.mark.parametrize(
    ("options", "leaves_tensorflow"),
    [
        ({}, False),
        ({"engine": "lattice"}, False),
        ({"engine": "exact"}, False),
        ({"engine": "numba"}, True),
        ({"engine": "numba", "prune_below": 0.01}, True),
    ],
)
def test_only_numba_leaves_tensorflow_in_a_graph(options, leaves_tensorflow):
    kinds = kinds_of_operations(**options)
    assert {"While", "StatelessWhile", "PyFunc", "PyFuncStateless"} & kinds  # the whole graph
    assert any("PyFunc" in kind for kind in kinds) == leaves_tensorflow


@pytest.mark.parametrize("prune_below", [0.0, 0.3])
def test_numba_in_a_graph_gives_the_bits_it_gives_eagerly(prune_below):
    data, options = scene(12, 15, 5, batch=2), {"engine": "numba", "prune_below": prune_below}
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **options))
    result = run(*data)
    assert result.shape == data[0].shape
    assert result.numpy().tobytes() == bits(*data, PARAMS, **options)


@pytest.mark.parametrize(("in_graph", "learned"), [(False, True), (True, False)])
def test_numba_has_the_gradients_of_the_lattice(in_graph, learned):
    probabilities, images = scene(5, 6, 3, batch=2)
    readout = tf.random.normal(probabilities.shape)
    costs = [tf.constant(1 - np.eye(3) + np.triu(np.full((3, 3), 0.3)), tf.float32)]
    inputs = [tf.constant(probabilities), tf.constant(1.5), tf.constant(0.5)] + costs * learned

    def gradients(engine, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            options = {"weights": inputs[1:3], "compatibility": inputs[3] if learned else None}
            refined = dense_crf(inputs[0], images, PARAMS, engine, **options)
            value = tf.reduce_sum(readout * refined)
        return value, *tape.gradient(value, inputs)

    run = tf.function(gradients) if in_graph else gradients
    for mine, wanted in zip(run("numba", *inputs), run("lattice", *inputs), strict=True):
        scale = np.abs(wanted).max()
        assert scale > 1e-3  # else there is nothing to get wrong
        np.testing.assert_allclose(mine, wanted, atol=1e-4 * scale)


def test_numba_learns_from_the_params_own_weights_too():
    probabilities, images = map(tf.constant, scene(7, 8, 3))
    found = []
    for engine in ("numba", "lattice"):
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            value = tf.reduce_sum(dense_crf(probabilities, images, PARAMS, engine)[..., 0])
        found.append(tape.gradient(value, probabilities))
    np.testing.assert_allclose(*found, atol=1e-4 * np.abs(found[1]).max())


@pytest.mark.parametrize("in_graph", [False, True])
def test_numba_gradient_does_not_build_a_kernel_of_weight_zero(in_graph):
    # The spatial kernel of this sigma would be refused.
    params = CRFParams(w1=2, sigma_alpha=9, sigma_beta=10, w2=0, sigma_gamma=1e-9, iterations=2)
    probabilities, images = map(tf.constant, scene(7, 8, 3))

    def gradient(probabilities, engine):
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            value = tf.reduce_sum(dense_crf(probabilities, images, params, engine)[..., 0])
        return tape.gradient(value, probabilities)

    run = tf.function(gradient) if in_graph else gradient
    mine, wanted = run(probabilities, "numba"), run(probabilities, "lattice")
    np.testing.assert_allclose(mine, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_given_weights_and_compatibility_replace_those_of_the_params(engine):
    data, costs = scene(7, 8, 3), ((0, 2, 1), (1, 0, 1), (0.5, 1, 0))
    other = CRFParams(w1=9, sigma_alpha=20, sigma_beta=10, w2=0, sigma_gamma=2, iterations=4)
    given = dense_crf(*data, other, engine, weights=(4, 3), compatibility=costs)
    own = dense_crf(*data, replace(PARAMS, compatibility=costs), engine)
    np.testing.assert_allclose(given, own, atol=1e-6)
    assert np.abs(given - dense_crf(*data, PARAMS, engine)).max() > 0.01


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune_below": 0.1, "engine": "lattice"}, "'lattice' cannot prune labels; take numba"),
        ({"prune_below": 0.1, "engine": "exact"}, "'exact' cannot prune labels; take numba"),
        (
            {"prune_below": 0.1, "engine": "numba", "compatibility": np.eye(3)},
            "in the Potts model; .* prune_below=0",
        ),
        ({"prune_below": -0.1}, "prune_below must be a probability, not -0.1"),
        ({"prune_below": 1.5}, "prune_below must be a probability, not 1.5"),
        ({"prune_below": np.nan}, "prune_below must be a probability, not nan"),
        ({"num_threads": 0}, "num_threads must be a whole number of at least 1, not 0"),
        ({"num_threads": -2, "engine": "numba"}, "num_threads must be .*, not -2"),
        ({"num_threads": True}, "num_threads must be a whole number .*, not True"),
        ({"num_threads": 2.0}, "num_threads must be a whole number .*, not 2.0"),
        ({"num_threads": "2"}, "num_threads must be a whole number .*, not '2'"),
        ({"weights": (1.0,)}, "weights must be two scalars"),
        ({"weights": (1.0, 2.0, 3.0)}, "weights must be two scalars"),
        ({"weights": ([1.0, 2.0], 3.0)}, "weights must be two scalars"),
        ({"weights": 1.0}, "weights must be two scalars"),
        ({"compatibility": np.eye(4)}, r"the compatibility is \(4, 4\), but there are 3 labels"),
    ],
)
def test_options_that_make_no_sense_raise_one_line(options, message, in_graph):
    run = tf.function(dense_crf) if in_graph else dense_crf
    with pytest.raises(ValueError, match=message) as error:
        run(GOOD_P, GOOD_I, PARAMS, **options)
    # While it traces, TensorFlow adds where in the code it was.
    assert in_graph or "\n" not in str(error.value)


def test_pruning_in_a_graph_needs_the_engine_by_name():
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, prune_below=0.1))
    with pytest.raises(ValueError, match=r'in a graph give engine="numba" .* cannot be exported'):
        run(GOOD_P, GOOD_I)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (np.nan, 1)}, "weights must be finite and at least 0, but w1 is nan"),
        ({"weights": (1, np.inf)}, "weights must be finite and at least 0, but w2 is inf"),
        ({"weights": (1, -0.5)}, "weights must be finite and at least 0, but w2 is -0.5"),
        ({"compatibility": np.full((3, 3), np.nan)}, "compatibility holds NaN or infinite"),
        ({"compatibility": np.diag([0, np.inf, 0])}, "compatibility holds NaN or infinite"),
    ],
)
def test_weights_and_costs_out_of_range_are_named(options, message, engine):
    with pytest.raises(ValueError, match=rf"^dense_crf: .*{message}") as error:
        dense_crf(GOOD_P, GOOD_I, PARAMS, engine, **options)
    assert "\n" not in str(error.value)


def test_warm_up_compiles_without_a_trace(capfd):
    warm_up()
    assert capfd.readouterr() == ("", "")


def spoiled(value):
    probabilities, images = scene(4, 5, 3)
    probabilities[0, 1, 2, 0] = value
    return probabilities, images


GOOD_P, GOOD_I = scene(4, 5, 3)


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
@pytest.mark.parametrize(
    ("probabilities", "images", "message"),
    [
        (*spoiled(np.nan), "NaN"),
        (*spoiled(np.inf), "NaN or infinite"),
        (*spoiled(-0.5), "negative"),
        (GOOD_P * 1.01, GOOD_I, "sum to one"),
        (GOOD_P * 0.99, GOOD_I, "sum to one"),
        (GOOD_P.astype(np.int32), GOOD_I, "must be floating, not int32"),
        (GOOD_P, GOOD_I.astype(np.float32), "must be uint8 .* not float32"),
        (GOOD_P, GOOD_I.astype(np.int32), "must be uint8"),
        (GOOD_P[0], GOOD_I[0], r"needs \(B, H, W, C\)"),
        (GOOD_P, GOOD_I[0], r"needs \(B, H, W, C\)"),
        (GOOD_P, GOOD_I[..., :1], "3 channels"),
        (GOOD_P, GOOD_I[:, :3], "must agree"),
        (GOOD_P, np.swapaxes(GOOD_I, 1, 2), "must agree"),
        (GOOD_P[:, :0], GOOD_I[:, :0], "nothing to do"),
    ],
)
def test_bad_input_raises_one_line(probabilities, images, message, engine):
    with pytest.raises(ValueError, match=message) as error:
        dense_crf(probabilities, images, PARAMS, engine)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_stops_on_values_that_are_no_probabilities(engine):
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, engine), input_signature=signature)
    assert run(GOOD_P, GOOD_I).shape == GOOD_P.shape
    for probabilities in (*(spoiled(value)[0] for value in (np.nan, np.inf, -0.5)), GOOD_P * 1.01):
        message = "must be finite, not negative, and sum to one"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            run(probabilities, GOOD_I)


@pytest.mark.parametrize("engine", ["numba", "lattice"])
def test_features_too_far_apart_raise(engine):
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 9, 3)).astype(np.uint8)
    probabilities, params = scene(8, 9, 3)[0], CRFParams(sigma_beta=1e-4)
    with pytest.raises(ValueError, match="too far for the lattice: choose larger sigmas") as error:
        dense_crf(probabilities, images, params, engine)
    assert "\n" not in str(error.value)
    run = tf.function(lambda p, i: dense_crf(p, i, params, engine))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="too far for the lattice: choose larger sigmas"
    ):
        run(probabilities, images)


@pytest.mark.parametrize("sigma_gamma", [1e-5, 1e-6])
def test_a_tiny_spatial_sigma_on_a_whole_image_raises(sigma_gamma):
    probabilities = np.full((1, 375, 500, 2), 0.5, np.float32)
    images, params = np.zeros((1, 375, 500, 3), np.uint8), CRFParams(w1=0, sigma_gamma=sigma_gamma)
    with pytest.raises(ValueError, match=r"^dense_crf: the features spread too far") as error:
        dense_crf(probabilities, images, params, "lattice")
    assert "\n" not in str(error.value)


def test_too_little_memory_is_said_beforehand(monkeypatch):
    monkeypatch.setattr("crf.memory.available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"dense_crf: .* of memory are available; refine tiles"):
        dense_crf(GOOD_P, GOOD_I, PARAMS, engine="numba")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("factor", [0.9995, 1.0005])
def test_sums_within_the_tolerance_are_taken(engine, factor):
    dense_crf((factor * GOOD_P).astype(np.float32), GOOD_I, CRFParams(iterations=0), engine)


def test_unknown_engine_lists_those_there_are():
    with pytest.raises(ValueError, match="'fast'; choose one of auto, numba, lattice, exact"):
        dense_crf(GOOD_P, GOOD_I, PARAMS, engine="fast")


def test_params_of_another_kind_raise():
    with pytest.raises(ValueError, match="must be a CRFParams"):
        dense_crf(GOOD_P, GOOD_I, {"w1": 4})


def test_graph_checks_shapes_and_dtypes_when_traced():
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS))
    with pytest.raises(ValueError, match="must be uint8"):
        run(GOOD_P, GOOD_I.astype(np.float32))
    with pytest.raises(ValueError, match="must agree"):
        run(GOOD_P, GOOD_I[:, :3])


def test_graph_checks_unknown_sizes_when_run():
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS), input_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in size"):
        run(GOOD_P, np.swapaxes(GOOD_I, 1, 2))


def golden(folder, case):
    with np.load(folder / f"case{case}.npz") as data:
        arrays = dict(data)
    names = ("probabilities", "image", "result")
    probabilities, image, result = (arrays.pop(name) for name in names)
    params = CRFParams(**{name: value.item() for name, value in arrays.items()})
    return probabilities[None], image[None], params, result


@pytest.mark.parametrize("engine", ["numba", "lattice"])
@pytest.mark.parametrize("case", range(6))
def test_lattices_reproduce_the_reference(crf_golden, case, engine):
    *data, expected = golden(crf_golden, case)
    result = dense_crf(*data, engine=engine)[0].numpy()
    # One pixel in 12,000 that flips wholly is 1.5e-5 of the mean.
    assert np.abs(result - expected).mean() < 2e-5
    assert (result.argmax(-1) == expected.argmax(-1)).mean() > 0.9998


@pytest.mark.parametrize("case", [4, 5])
def test_lattices_agree_with_exact_on_real_images(crf_golden, case):
    *data, _ = golden(crf_golden, case)
    exact, numba, lattice = (
        dense_crf(*data, engine=engine).numpy().argmax(-1)
        for engine in ("exact", "numba", "lattice")
    )
    assert (exact == numba).mean() > 0.99
    assert (exact == lattice).mean() > 0.99
