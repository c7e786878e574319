"""Finding and loading trained networks."""

import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from fresh_process import run_python
from tiny_model import random_model

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import find_model, load_model, with_crf

ROOT = Path(__file__).resolve().parents[3]


def save_tiny(path, *layers):
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.save(path)
    return model


def test_a_directory_gives_its_best_model_or_else_the_last(tmp_path):
    save_tiny(tmp_path / "last.keras")
    assert find_model(tmp_path).name == "last.keras"
    save_tiny(tmp_path / "best.keras")
    assert find_model(tmp_path).name == "best.keras"
    assert load_model(tmp_path).count_params() == 5
    assert load_model(str(tmp_path / "last.keras")).count_params() == 5


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_whole_model_in_hdf5(tmp_path):
    model = save_tiny(tmp_path / "m.h5")
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "m.h5")(x), model(x))


@pytest.mark.slow
def test_another_process_needs_nothing_but_deeplab_tf(tmp_path):
    """Every layer of this project is known as soon as it is imported, to Keras too."""
    network = deeplab_tf.build_deeplab(
        "mobilenet", "large_fov", 2, weights=None, scales=(1, 0.5), input_shape=(None, None, 4)
    )
    with_crf(deeplab_tf.fuse(network)).save(tmp_path / "m.keras")
    program = """
        import deeplab_tf
        deeplab_tf.load_model("m.keras")
        import keras
        keras.models.load_model("m.keras")
        print(*keras.saving.get_custom_objects())
    """
    done = run_python(program, tmp_path)
    registered = re.compile(r'register_keras_serializable\(package="(\w+)"\)\s+class (\w+)')
    sources = [*(ROOT / "crf").rglob("*.py"), *(ROOT / "deeplab_tf/models").rglob("*.py")]
    found = {
        f"{package}>{name}"
        for path in sources
        for package, name in registered.findall(path.read_text())
    }
    assert len(found) > 15 and found <= set(done.stdout.split())


def error_of(path):
    with pytest.raises(InputError) as error:
        load_model(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


@pytest.mark.parametrize("name", ["", "absent.keras", "broken.keras"])
def test_a_missing_or_damaged_model_gives_a_one_line_error(tmp_path, name):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 and then nothing")
    error_of(tmp_path / name if name else tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photo.jpg", "not a Keras model; give the .keras file"),
        ("empty.keras", "not a Keras model; give the .keras file"),
        ("deeplab.caffemodel", "not a Keras model; import it with `deeplab-tf import-weights"),
        ("cut.keras", "damaged or cut off; copy or save it again"),
        ("other.pth", "a zip file but not a Keras model"),
        ("best.keras.bak", "rename it so that it ends in .keras"),
        ("weights.weights.h5", "weights without their network; .*build_deeplab.*save"),
        ("weights.keras", "HDF5 file; rename it so that it ends in .h5"),
    ],
)
def test_files_of_other_kinds(tmp_path, name, message):
    file = tmp_path / name
    if "weights" in name:
        random_model().save_weights(tmp_path / "a.weights.h5")
        (tmp_path / "a.weights.h5").rename(file)
    elif name == "other.pth":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", "x")
    elif name.startswith(("best", "cut")):
        save_tiny(tmp_path / "a.keras")
        contents = (tmp_path / "a.keras").read_bytes()
        file.write_bytes(contents if name.startswith("best") else contents[:-30])
    else:
        file.write_bytes(b"" if name == "empty.keras" else b"\xff\xd8 and more")
    with pytest.raises(InputError, match=message):
        load_model(file)
    error_of(file)


def test_the_folder_of_a_saved_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    text = error_of(tmp_path)
    assert "is a SavedModel" in text and "deeplab-tf predict" in text
    save_tiny(tmp_path / "last.keras")  # a model directory that also holds an export
    assert load_model(tmp_path).count_params() == 5


@pytest.mark.parametrize("package", ["their_layers", "__main__"])
def test_layers_of_other_libraries(tmp_path, package):
    class TheirLayer(keras.layers.Layer):
        def call(self, x):
            return x

    TheirLayer.__module__ = package
    save_tiny(tmp_path / "m.keras", TheirLayer())
    text = error_of(tmp_path / "m.keras")
    assert "class 'TheirLayer' is unknown" in text
    if package == "their_layers":
        assert "import their_layers, which defines it" in text
    else:
        assert "run the code that defines it" in text and "__main__" not in text


def test_python_code_inside_of_a_model(tmp_path):
    save_tiny(tmp_path / "m.keras", keras.layers.Lambda(lambda x: x + 1))
    assert "Lambda layer" in (text := error_of(tmp_path / "m.keras"))
    assert "safe_mode=False" in text
    (tmp_path / "m.keras").rename(tmp_path / "best.keras")
    model = keras.saving.load_model(tmp_path / "best.keras", safe_mode=False)
    assert model.count_params() == 5
