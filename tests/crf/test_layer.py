from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams, DenseCRF, dense_crf, refine

PARAMS = CRFParams(w1=2, sigma_alpha=10, sigma_beta=8, iterations=3, normalization="after")
COSTS = ((0.0, 1.0, 2.0), (0.5, 0.0, 0.5), (3.0, 1.0, 0.0))
LEARNING = CRFParams(w1=2, sigma_alpha=10, sigma_beta=8, w2=0.5, iterations=2, compatibility=COSTS)


def scene(height, width, num_classes, batch=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (batch, height, width, 3)).astype(np.uint8)
    scores = rng.normal(size=(batch, height, width, num_classes)).astype(np.float32)
    return tf.nn.softmax(scores).numpy(), images


def crf_model(params, num_classes=3, **options):
    probabilities = keras.Input((None, None, num_classes))
    images = keras.Input((None, None, 3), dtype="uint8")
    refined = DenseCRF(params, name="crf", **options)([probabilities, images])
    return keras.Model([probabilities, images], refined)


@pytest.mark.parametrize("engine", ["auto", "exact"])
def test_equals_the_function(engine):
    data = scene(5, 6, 3)
    result = DenseCRF(PARAMS, engine)(list(data))
    np.testing.assert_allclose(result, dense_crf(*data, PARAMS, engine), atol=1e-6)


def test_default_parameters_are_those_of_crfparams():
    assert DenseCRF().params == CRFParams()


def test_a_saved_model_gives_the_same_predictions_for_any_size(tmp_path):
    model = crf_model(PARAMS)
    assert model.output_shape == (None, None, None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("crf").params == PARAMS
    assert loaded.get_layer("crf").engine == "auto"
    for size in ((4, 6), (7, 5)):
        data = scene(*size, 3)
        result = loaded.predict(list(data), verbose=0)
        np.testing.assert_allclose(result, dense_crf(*data, PARAMS), atol=1e-5)


def test_config_is_plain_and_complete():
    layer = DenseCRF(PARAMS, engine="exact", name="final")
    again = DenseCRF.from_config(layer.get_config())
    assert (again.params, again.engine, again.name) == (PARAMS, "exact", "final")
    assert type(layer.get_config()["params"]) is dict


def test_output_shape():
    shapes = [(None, 5, None, 7), (None, 5, None, 3)]
    assert DenseCRF().compute_output_shape(shapes) == (None, 5, None, 7)


def test_computes_in_float32_under_a_mixed_policy():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        layer = DenseCRF(PARAMS)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    data = scene(4, 5, 3)
    result = layer(list(data))
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, dense_crf(*data, PARAMS), atol=1e-6)


def test_xla_compiles_a_layer_of_a_mixed_precision_network():
    # As a GPU runs it by default: float16 probabilities, and the whole call compiled.
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        # One kernel, because XLA takes seconds for the larger one.
        layer = DenseCRF(replace(PARAMS, w1=0, iterations=1), engine="xla")
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    probabilities, images = scene(3, 4, 2, batch=1)
    probabilities = probabilities.astype(np.float16)

    @tf.function(jit_compile=True, autograph=False)
    def run(probabilities, images):
        return layer([probabilities, images])

    result, wanted = run(probabilities, images), refine(probabilities[0], images[0], layer.params)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result[0], wanted, atol=1e-5)


def test_bad_input_raises():
    probabilities, images = scene(4, 5, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        DenseCRF()([probabilities, images.astype(np.float32)])
    with pytest.raises(ValueError, match="unknown engine 'fast'"):
        DenseCRF(engine="fast")


def test_a_layer_that_does_not_learn_has_no_variables_even_if_set_trainable():
    layer = DenseCRF(PARAMS)
    layer.trainable = True
    layer(list(scene(4, 5, 3)))
    assert layer.weights == [] and layer.get_config()["trainable"] is False
    assert layer.learned_params() == PARAMS
    assert layer.learned_params(iterations=8).iterations == 8


@pytest.mark.parametrize("params", [PARAMS, LEARNING])
def test_a_learning_layer_starts_with_its_params(params):
    layer, data = DenseCRF(params, trainable=True), list(scene(5, 6, 3))
    np.testing.assert_allclose(layer(data), dense_crf(*data, params), atol=1e-6)
    shapes = {weight.name: tuple(weight.shape) for weight in layer.trainable_weights}
    assert shapes == {"w1": (), "w2": (), "compatibility": (3, 3)}
    potts = tuple(map(tuple, 1.0 - np.eye(3)))
    assert layer.learned_params().compatibility == (params.compatibility or potts)


def test_learned_params_give_the_same_result_as_the_layer(tmp_path):
    layer, data = DenseCRF(LEARNING, trainable=True), list(scene(5, 6, 3))
    before = layer(data)
    layer.w1.assign(0.7)
    layer.w2.assign(1.3)
    layer.compatibility.assign(np.array(COSTS).T)
    learned = layer.learned_params()
    np.testing.assert_allclose([learned.w1, learned.w2], [0.7, 1.3], rtol=1e-6)
    assert learned.compatibility == tuple(zip(*COSTS, strict=True))
    learned.save(tmp_path / "crf.json")
    loaded = CRFParams.load(tmp_path / "crf.json")
    np.testing.assert_allclose(layer(data), dense_crf(*data, loaded), atol=1e-6)
    assert np.abs(layer(data) - before).max() > 0.01
    assert layer.learned_params(iterations=10).iterations == 10


def probabilities_of(guess):
    """Probabilities of 0.6 for each pixel's guess among three labels."""
    return np.where(np.arange(3) == guess[..., None], 0.6, 0.2).astype(np.float32)


def noisy_stripes(num_images=4):
    """Stripes of three colors with every fifth guess random, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.broadcast_to(np.arange(12) // 4, (num_images, 8, 12))
    images = (90 * labels[..., None] + rng.integers(0, 9, (*labels.shape, 3))).astype(np.uint8)
    guess = np.where(rng.random(labels.shape) < 0.2, rng.integers(0, 3, labels.shape), labels)
    return [probabilities_of(guess), images], labels


@pytest.fixture(scope="module")
def model():
    """A compiled model with a learning layer, for images of 8x12 pixels."""
    params = CRFParams(sigma_alpha=20, sigma_beta=10, iterations=2)
    model = crf_model(params, trainable=True)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    return model


def train(model, data, labels, w1, w2, epochs):
    """Train the layer from the Potts model; returns the learned params."""
    layer = model.get_layer("crf")
    layer.w1.assign(w1)
    layer.w2.assign(w2)
    layer.compatibility.assign(1 - np.eye(3))
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.optimizer.learning_rate = 0.05
    model.fit(data, labels, epochs=epochs, verbose=0)
    return layer.learned_params()


def loss_and_accuracy(data, labels, params):
    refined = dense_crf(*data, params).numpy()
    truth = np.take_along_axis(refined, labels[..., None], axis=-1)
    return -np.log(truth).mean(), (refined.argmax(-1) == labels).mean()


def test_training_reduces_the_loss_and_increases_the_weights(model):
    # The colors tell the labels, the probabilities less so: larger weights are better.
    data, labels = noisy_stripes()
    start = CRFParams(w1=0.1, sigma_alpha=20, sigma_beta=10, w2=0.1, iterations=2)
    loss_before, accuracy_before = loss_and_accuracy(data, labels, start)
    learned = train(model, data, labels, 0.1, 0.1, epochs=25)
    loss_after, accuracy_after = loss_and_accuracy(data, labels, learned)
    assert loss_after < 0.8 * loss_before and accuracy_after > accuracy_before + 0.03
    assert learned.w1 > 0.5 and learned.w2 > 0.2
    compatibility = np.array(learned.compatibility)
    assert np.diag(compatibility).max() < 0
    assert (compatibility + 2 * np.eye(3)).min() > 0.5


def test_training_learns_which_labels_are_not_adjacent(model):
    # Only labels 0 and 1 exist, and every wrong guess is a 2: the costs of label 2 must grow.
    labels = np.broadcast_to(np.arange(12) // 6, (1, 8, 12))
    guess = np.where(np.random.default_rng(0).random(labels.shape) < 0.3, 2, labels)
    images = (120 * labels[..., None] + np.zeros(3)).astype(np.uint8)
    learned = train(model, [probabilities_of(guess), images], labels, 1, 0, epochs=10)
    change = np.array(learned.compatibility) - (1 - np.eye(3))
    assert change[2, :2].min() > 0.05 > change[:2, :2].min()


def test_weights_never_become_negative(model):
    # All pixels agree on a wrong label, so that both weights decrease.
    labels = np.ones((1, 8, 12), int)
    data = [probabilities_of(np.zeros_like(labels)), np.zeros((1, 8, 12, 3), np.uint8)]
    learned = train(model, data, labels, 0.1, 0.1, epochs=5)
    assert learned.w1 == learned.w2 == 0


@pytest.mark.parametrize("frozen", [False, True])
def test_a_learned_model_is_saved_and_loaded(tmp_path, frozen):
    model, data = crf_model(LEARNING, trainable=True, engine="exact"), list(scene(5, 6, 3))
    layer = model.get_layer("crf")
    layer.w1.assign(0.25)
    layer.compatibility.assign(np.array(COSTS).T)
    model.trainable = not frozen
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    again = loaded.get_layer("crf")
    assert again.params == LEARNING and again.engine == "exact"
    assert again.learned_params() == layer.learned_params() != LEARNING
    assert len(again.weights) == 3 and len(again.trainable_weights) == (0 if frozen else 3)
    np.testing.assert_array_equal(loaded(data), model(data))


def test_errors_of_a_learning_layer():
    with pytest.raises(ValueError, match="not built yet"):
        DenseCRF(trainable=True).learned_params()
    with pytest.raises(ValueError, match="needs a known number of labels"):
        DenseCRF(trainable=True).build([(None, None, None, None), (None, None, None, 3)])
    with pytest.raises(ValueError, match="is for 3 labels, but there are 4"):
        DenseCRF(LEARNING, trainable=True)(list(scene(4, 5, 4)))


def test_keras_does_not_choose_xla_on_a_gpu(monkeypatch):
    model = crf_model(CRFParams(iterations=1))
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile="auto")
    assert model.jit_compile is False


def test_keras_warns_if_xla_is_requested_and_works_without_it():
    data, labels = noisy_stripes(1)
    model = crf_model(CRFParams(iterations=1))
    with pytest.warns(UserWarning, match="jit_compile"):
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    assert model.jit_compile is False
    assert np.isfinite(model.evaluate(data, labels, verbose=0))


def test_options_of_a_layer_are_those_of_dense_crf_and_survive_its_config():
    probabilities = np.float32([[[[0.9, 0.06, 0.04], [0.3, 0.65, 0.05]]]])
    image = np.uint8([[[[0, 0, 0], [9, 9, 9]]]])
    for options in ({"engine": "xla", "prune_below": 0.1}, {"max_memory": 1e6, "overlap": 0}):
        layer = DenseCRF(**options)
        again = DenseCRF.from_config(layer.get_config())
        assert {name: again.get_config()[name] for name in options} == options
        assert again.supports_jit == ("engine" in options)
        wanted = dense_crf(probabilities, image, **{**options, "engine": "numba"})
        np.testing.assert_allclose(again([probabilities, image]), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="only be pruned in the Potts model"):
        DenseCRF(trainable=True, prune_below=0.1)
    with pytest.raises(ValueError, match="prune_below must be a probability"):
        DenseCRF(prune_below=2)
    with pytest.raises(ValueError, match="engine 'xla' cannot work in strips"):
        DenseCRF(engine="xla", max_memory=1e9)
