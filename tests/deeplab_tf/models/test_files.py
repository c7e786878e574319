"""Finding and loading trained networks."""

import keras
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.models import find_model, load_model


def save_tiny(path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(path)


def test_a_directory_gives_its_best_model_or_else_the_last(tmp_path):
    save_tiny(tmp_path / "last.keras")
    assert find_model(tmp_path).name == "last.keras"
    save_tiny(tmp_path / "best.keras")
    assert find_model(tmp_path).name == "best.keras"
    assert load_model(tmp_path).count_params() == 5
    assert load_model(str(tmp_path / "last.keras")).count_params() == 5


@pytest.mark.parametrize("name", ["", "absent.keras", "broken.keras"])
def test_a_missing_or_damaged_model_gives_a_one_line_error(tmp_path, name):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InputError) as error:
        load_model(tmp_path / name if name else tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_weights_alone_says_how_to_use_it(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(InputError, match="weights without their network") as error:
        load_model(tmp_path / "w.weights.h5")
    assert f"weights={str(tmp_path / 'w.weights.h5')!r}).save('model.keras')" in str(error.value)
