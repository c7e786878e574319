import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams, DenseCRF, dense_crf

PARAMS = CRFParams(w1=2, sigma_alpha=10, sigma_beta=8, iterations=3, normalization="after")


def scene(height, width, num_classes, batch=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (batch, height, width, 3)).astype(np.uint8)
    scores = rng.normal(size=(batch, height, width, num_classes)).astype(np.float32)
    return tf.nn.softmax(scores).numpy(), images


def small_model(num_classes=3):
    probabilities = keras.Input((None, None, num_classes))
    images = keras.Input((None, None, 3), dtype="uint8")
    refined = DenseCRF(PARAMS, name="crf")([probabilities, images])
    return keras.Model([probabilities, images], refined)


@pytest.mark.parametrize("engine", ["auto", "lattice", "exact"])
def test_equals_the_function(engine):
    data = scene(5, 6, 3)
    result = DenseCRF(PARAMS, engine)(list(data))
    np.testing.assert_allclose(result, dense_crf(*data, PARAMS, engine), atol=1e-6)


def test_default_parameters_are_those_of_crfparams():
    assert DenseCRF().params == CRFParams()


def test_predict_on_any_size():
    model = small_model()
    assert model.output_shape == (None, None, None, 3)
    for size in ((4, 6), (7, 5)):
        data = scene(*size, 3)
        result = model.predict(list(data), verbose=0)
        np.testing.assert_allclose(result, dense_crf(*data, PARAMS), atol=1e-5)


def test_saved_model_comes_back(tmp_path):
    model, data = small_model(), list(scene(5, 6, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("crf").params == PARAMS
    assert loaded.get_layer("crf").engine == "auto"
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_config_is_plain_and_complete():
    layer = DenseCRF(PARAMS, engine="exact", name="refine")
    again = DenseCRF.from_config(layer.get_config())
    assert (again.params, again.engine, again.name) == (PARAMS, "exact", "refine")
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


def test_bad_input_raises():
    probabilities, images = scene(4, 5, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        DenseCRF()([probabilities, images.astype(np.float32)])
    with pytest.raises(ValueError, match="unknown engine 'fast'"):
        DenseCRF(engine="fast")


COSTS = ((0.0, 1.0, 2.0), (0.5, 0.0, 0.5), (3.0, 1.0, 0.0))
LEARNING = CRFParams(w1=2, sigma_alpha=10, sigma_beta=8, w2=0.5, iterations=2, compatibility=COSTS)


def learning_model(params=LEARNING, num_classes=3, **kwargs):
    probabilities = keras.Input((None, None, num_classes))
    images = keras.Input((None, None, 3), dtype="uint8")
    refined = DenseCRF(params, trainable=True, name="crf", **kwargs)([probabilities, images])
    return keras.Model([probabilities, images], refined)


def test_plain_layer_has_no_variables_even_when_set_trainable():
    layer = DenseCRF(PARAMS)
    layer.trainable = True
    layer(list(scene(4, 5, 3)))
    assert layer.weights == [] and layer.get_config()["trainable"] is False
    assert layer.learned_params() == PARAMS
    assert layer.learned_params(iterations=8).iterations == 8


@pytest.mark.parametrize("params", [PARAMS, LEARNING])
def test_learning_layer_starts_as_its_params(params):
    layer, data = DenseCRF(params, trainable=True), list(scene(5, 6, 3))
    np.testing.assert_allclose(layer(data), dense_crf(*data, params), atol=1e-6)
    shapes = {weight.name: tuple(weight.shape) for weight in layer.trainable_weights}
    assert shapes == {"w1": (), "w2": (), "compatibility": (3, 3)}
    potts = tuple(map(tuple, 1.0 - np.eye(3)))
    assert layer.learned_params().compatibility == (params.compatibility or potts)


def test_learned_params_compute_what_the_layer_does(tmp_path):
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


def corrupted_stripes(num_images=4):
    """Stripes of three colours, their labels, and probabilities with every fifth pixel wrong."""
    rng = np.random.default_rng(0)
    labels = np.broadcast_to(np.arange(12) // 4, (num_images, 8, 12))
    images = (90 * labels[..., None] + rng.integers(0, 9, (*labels.shape, 3))).astype(np.uint8)
    told = np.where(rng.random(labels.shape) < 0.2, rng.integers(0, 3, labels.shape), labels)
    probabilities = np.where(np.arange(3) == told[..., None], 0.6, 0.2).astype(np.float32)
    return [probabilities, images], labels


def test_fit_reduces_the_loss_and_strengthens_the_kernels():
    # The colours tell the labels, the probabilities less so: heavier kernels are better.
    data, labels = corrupted_stripes()
    model = learning_model(CRFParams(w1=0.1, sigma_alpha=20, sigma_beta=10, w2=0.1, iterations=2))
    model.compile(
        keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    before, accuracy_before = model.evaluate(data, labels, verbose=0)
    model.fit(data, labels, batch_size=4, epochs=25, verbose=0)
    after, accuracy_after = model.evaluate(data, labels, verbose=0)
    learned = model.get_layer("crf").learned_params()
    assert after < 0.8 * before and accuracy_after > accuracy_before + 0.03
    assert learned.w1 > 0.5 and learned.w2 > 0.2
    compatibility = np.array(learned.compatibility)
    assert np.diag(compatibility).max() < 0
    assert (compatibility + 2 * np.eye(3)).min() > 0.5


def test_fit_learns_which_labels_do_not_meet():
    # The truth holds only labels 0 and 1, and every wrong guess is a 2: its row must grow.
    labels = np.broadcast_to(np.arange(12) // 6, (1, 8, 12))
    wrong = np.random.default_rng(0).random(labels.shape) < 0.3
    told = np.where(wrong, 2, labels)
    probabilities = np.where(np.arange(3) == told[..., None], 0.6, 0.2).astype(np.float32)
    images = (120 * labels[..., None] + np.zeros(3)).astype(np.uint8)
    model = learning_model(CRFParams(w1=1, sigma_alpha=20, sigma_beta=10, w2=0, iterations=2))
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    model.fit([probabilities, images], labels, epochs=15, verbose=0)
    change = np.array(model.get_layer("crf").learned_params().compatibility) - (1 - np.eye(3))
    assert change[2, :2].min() > 0.05 > change[:2, :2].min()


def test_weights_never_become_negative():
    # All pixels agree on a wrong label, so that both weights want to fall below 0.
    labels = np.ones((1, 4, 5), int)
    probabilities = np.full((1, 4, 5, 3), [0.6, 0.2, 0.2], np.float32)
    images = np.zeros((1, 4, 5, 3), np.uint8)
    model = learning_model(CRFParams(w1=0.1, w2=0.1, iterations=1))
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.fit([probabilities, images], labels, epochs=5, verbose=0)
    learned = model.get_layer("crf").learned_params()
    assert learned.w1 == learned.w2 == 0


@pytest.mark.parametrize("frozen", [False, True])
def test_learned_model_comes_back(tmp_path, frozen):
    model, data = learning_model(engine="exact"), list(scene(5, 6, 3))
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
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_learning_layer_names_what_it_lacks():
    with pytest.raises(ValueError, match="not built yet"):
        DenseCRF(trainable=True).learned_params()
    with pytest.raises(ValueError, match="must know the number of labels"):
        DenseCRF(trainable=True).build([(None, None, None, None), (None, None, None, 3)])
    with pytest.raises(ValueError, match="is for 3 labels, but there are 4"):
        DenseCRF(LEARNING, trainable=True)(list(scene(4, 5, 4)))


def test_keras_does_not_choose_xla_on_a_gpu(monkeypatch):
    data, labels = corrupted_stripes(1)
    model = learning_model(CRFParams(iterations=1))
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    with monkeypatch.context() as patch:
        patch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile="auto")
        assert model.jit_compile is False
    assert np.isfinite(model.evaluate(data, labels, verbose=0))


def test_keras_warns_where_xla_is_asked_for_and_goes_on_without():
    data, labels = corrupted_stripes(1)
    model = learning_model(CRFParams(iterations=1))
    with pytest.warns(UserWarning, match="jit_compile"):
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    assert model.jit_compile is False
    assert np.isfinite(model.evaluate(data, labels, verbose=0))
