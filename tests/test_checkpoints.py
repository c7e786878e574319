import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.training.checkpoints import Checkpoints, copy_weights, save_model
from deeplab_tf.training.optimizer import LayerwiseAdam, LayerwiseSGD

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def tiny(num_classes=2):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 1, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, keras.layers.Conv2D(num_classes, 1, name="fc8")(x))


def training_state(folder, num_classes=2, optimizer=None, keep=3):
    model = tiny(num_classes)
    optimizer = optimizer or LayerwiseSGD(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer, Checkpoints(folder, model, optimizer, keep)


def make_step(model, optimizer):
    """One step that moves weights, BN statistics, slots and the dropout generator."""
    model(np.ones((2, 3, 3, 3), np.float32) * np.arange(3), training=True)
    optimizer.apply([np.ones(v.shape, np.float32) for v in model.trainable_variables])


def test_nothing_to_restore(tmp_path):
    assert training_state(tmp_path)[2].restore() == 0


def test_everything_comes_back(tmp_path):
    model, optimizer, checkpoints = training_state(tmp_path)
    make_step(model, optimizer)
    checkpoints.best_score = 0.25
    checkpoints.save(7)
    other_model, other_optimizer, other = training_state(tmp_path)
    make_step(other_model, other_optimizer)
    make_step(other_model, other_optimizer)
    assert other.best_score == -np.inf
    assert other.restore() == 7
    assert other.best_score == 0.25
    assert int(other_optimizer.iterations) == 1
    kept = [*model.variables, *optimizer.variables]
    restored = [*other_model.variables, *other_optimizer.variables]
    assert any("seed" in v.path for v in kept)
    assert any("momentum" in v.path for v in kept)
    for old, new in zip(kept, restored, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=old.path)


def test_newest_is_restored_and_only_the_last_ones_are_kept(tmp_path):
    model, _, checkpoints = training_state(tmp_path, keep=3)
    for step in (5, 10, 15, 20):
        model.get_layer("fc8").bias.assign([step, step])
        checkpoints.save(step)
    assert sorted(p.name for p in tmp_path.glob("*.index")) == [
        "step-10.index",
        "step-15.index",
        "step-20.index",
    ]
    model, _, checkpoints = training_state(tmp_path)
    assert checkpoints.restore() == 20
    np.testing.assert_array_equal(model.get_layer("fc8").bias, [20, 20])


def test_an_unfinished_checkpoint_is_ignored(tmp_path):
    training_state(tmp_path)[2].save(5)
    for suffix in (".data-00000-of-00001", ".index"):
        (tmp_path / f"step-10{suffix}").write_bytes(b"half")
    assert training_state(tmp_path)[2].restore() == 5


def test_another_number_of_classes_is_refused(tmp_path):
    training_state(tmp_path, num_classes=2)[2].save(5)
    model, _, checkpoints = training_state(tmp_path, num_classes=3)
    before = model.get_layer("conv").kernel.numpy()
    with pytest.raises(InputError, match=r"step-5 .*number of classes.*fc8/.*model_dir"):
        checkpoints.restore()
    np.testing.assert_array_equal(model.get_layer("conv").kernel, before)


def test_another_optimizer_is_refused(tmp_path):
    training_state(tmp_path)[2].save(5)
    with pytest.raises(InputError, match="optimizer"):
        training_state(tmp_path, optimizer=LayerwiseAdam(0.1))[2].restore()


def test_a_damaged_checkpoint_is_named(tmp_path):
    training_state(tmp_path)[2].save(5)
    data = tmp_path / "step-5.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-40])
    with pytest.raises(InputError, match="step-5 cannot be read") as error:
        training_state(tmp_path)[2].restore()
    assert "\n" not in str(error.value)


def test_copy_weights_from_bfloat16_to_float32(tmp_path):
    source = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_bfloat16")], name="s"
    )
    target = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="t")
    source.layers[0].bias.assign([0.1, 1 / 3])
    copy_weights(source, target)
    for old, new in zip(source.weights, target.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_save_model_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "last.keras"
    model = tiny()
    save_model(model, path)
    model.get_layer("fc8").bias.assign([3, 4])
    save_model(model, path)
    assert [p.name for p in path.parent.iterdir()] == ["last.keras"]
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_array_equal(loaded.get_layer("fc8").bias, [3, 4])


def test_save_model_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "last.keras"
    model = tiny()
    save_model(model, path)
    before = path.read_bytes()

    def fail(unfinished):
        unfinished.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(model, "save", fail)
    with pytest.raises(OSError, match="no space"):
        save_model(model, path)
    assert path.read_bytes() == before
