import contextlib
import resource
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.training.checkpoints import Checkpoints, TrainingState, copy_weights, save_model
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


def save_at(step, *args, **kwargs):
    checkpoints = training_state(*args, **kwargs)[2]
    checkpoints.state.step = step
    checkpoints.save()


def test_nothing_to_restore(tmp_path):
    assert training_state(tmp_path)[2].restore() == 0


def test_everything_comes_back(tmp_path):
    model, optimizer, checkpoints = training_state(tmp_path)
    make_step(model, optimizer)
    checkpoints.state.best_score = 0.25
    checkpoints.state.step = 7
    checkpoints.save()
    other_model, other_optimizer, other = training_state(tmp_path)
    make_step(other_model, other_optimizer)
    make_step(other_model, other_optimizer)
    assert other.state.best_score == -np.inf
    assert other.restore() == 7
    assert other.state.best_score == 0.25
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
        checkpoints.state.step = step
        checkpoints.save()
    assert sorted(p.name for p in tmp_path.glob("*.index")) == [
        "step-10.index",
        "step-15.index",
        "step-20.index",
    ]
    model, _, checkpoints = training_state(tmp_path)
    assert checkpoints.restore() == 20
    np.testing.assert_array_equal(model.get_layer("fc8").bias, [20, 20])


def test_what_a_kill_left_of_earlier_checkpoints_is_deleted(tmp_path):
    (tmp_path / "step-4.data-00000-of-00001").write_bytes(b"its index is deleted already")
    (tmp_path / "step-7_temp").mkdir()
    (tmp_path / "step-20.index").write_bytes(b"not of an earlier step")
    save_at(10, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint",
        "step-10.data-00000-of-00001",
        "step-10.index",
        "step-20.index",
    ]


def test_an_unfinished_checkpoint_is_ignored(tmp_path):
    save_at(5, tmp_path)
    for suffix in (".data-00000-of-00001", ".index"):
        (tmp_path / f"step-10{suffix}").write_bytes(b"half")
    assert training_state(tmp_path)[2].restore() == 5


def test_another_number_of_classes_is_refused(tmp_path):
    save_at(5, tmp_path, num_classes=2)
    model, _, checkpoints = training_state(tmp_path, num_classes=3)
    before = model.get_layer("conv").kernel.numpy()
    with pytest.raises(InputError, match=r"step-5 .*number of classes.*fc8/.*model_dir"):
        checkpoints.restore()
    np.testing.assert_array_equal(model.get_layer("conv").kernel, before)


def test_another_optimizer_is_refused(tmp_path):
    save_at(5, tmp_path)
    with pytest.raises(InputError, match="optimizer"):
        training_state(tmp_path, optimizer=LayerwiseAdam(0.1))[2].restore()


def test_where_training_was_comes_back(tmp_path):
    checkpoints = training_state(tmp_path)[2]
    checkpoints.state = state = TrainingState(7, 0.25, 4, 1 / 3, 3, 0.125, 4, 0.5, 61.5)
    checkpoints.save()
    other = training_state(tmp_path)[2]
    other.restore()
    assert other.state == state


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def scramble(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


DAMAGES = [cut_short, scramble, Path.unlink, lambda path: path.write_bytes(b"")]


def files_of(folder, step):
    return [folder / f"step-{step}{suffix}" for suffix in (".index", ".data-00000-of-00001")]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", [0, 1])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, capsys, damage, part):
    model, optimizer, checkpoints = training_state(tmp_path)
    for step in (5, 10):
        make_step(model, optimizer)
        checkpoints.state.step = step
        checkpoints.save()
        if step == 5:
            want = [v.numpy() for v in (*model.variables, *optimizer.variables)]
    damage(files_of(tmp_path, 10)[part])
    model, optimizer, checkpoints = training_state(tmp_path)
    assert checkpoints.restore() == 5
    for old, new in zip(want, (*model.variables, *optimizer.variables), strict=True):
        np.testing.assert_array_equal(old, new)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"warning: checkpoint {tmp_path}/step-10 cannot be read (")
    assert line.endswith(": using the one of step 5")
    assert checkpoints.newest == (5, tmp_path / "step-5")


def test_a_damaged_checkpoint_does_not_come_back(tmp_path):
    for step in (5, 10):
        save_after_restore(step, tmp_path)
    cut_short(files_of(tmp_path, 10)[1])
    save_after_restore(7, tmp_path)
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert [Path(p).name for p in state.all_model_checkpoint_paths] == ["step-5", "step-7"]
    assert Path(tf.train.latest_checkpoint(str(tmp_path))).name == "step-7"
    save_after_restore(10, tmp_path)
    assert training_state(tmp_path)[2].restore() == 10


def save_after_restore(step, folder):
    checkpoints = training_state(folder)[2]
    checkpoints.restore()
    checkpoints.state.step = step
    checkpoints.save()


def test_with_no_readable_checkpoint_the_way_out_is_named(tmp_path):
    for step in (5, 10):
        save_after_restore(step, tmp_path)
    for step in (5, 10):
        cut_short(files_of(tmp_path, step)[1])
    with pytest.raises(InputError, match=r"step-10 cannot be read .*to start over") as error:
        training_state(tmp_path)[2].restore()
    assert "\n" not in str(error.value)


def test_a_damaged_list_of_checkpoints_is_made_again(tmp_path, capsys):
    for step in (9, 10):
        save_after_restore(step, tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"\0\xff")
    checkpoints = training_state(tmp_path)[2]
    assert checkpoints.restore() == 10
    assert "checkpoint cannot be read" in capsys.readouterr().out
    checkpoints.state.step = 11
    checkpoints.save()
    assert Path(tf.train.latest_checkpoint(str(tmp_path))).name == "step-11"


@contextlib.contextmanager
def full_disk(most):
    """No file may grow beyond so many bytes, as if there were no room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("most", [0, 100, 1000])
def test_a_full_disk_leaves_the_checkpoints_before(tmp_path, most):
    checkpoints = training_state(tmp_path, keep=1)[2]
    checkpoints.state.step = 5
    checkpoints.save()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    checkpoints.state.step = 10
    with full_disk(most), pytest.raises((OSError, tf.errors.OpError)):
        checkpoints.save()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert checkpoints.newest == (5, tmp_path / "step-5")
    assert training_state(tmp_path)[2].restore() == 5


def test_a_model_on_a_full_disk_keeps_the_old_file(tmp_path):
    model, path = tiny(), tmp_path / "last.keras"
    save_model(model, path)
    before = path.read_bytes()
    with full_disk(2000), pytest.raises(OSError, match="File too large"):
        save_model(model, path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]
    assert path.read_bytes() == before


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
