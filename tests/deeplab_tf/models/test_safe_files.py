"""Files of Keras that lead to other files or hold code are refused, and nothing in them is run."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models import load_model
from deeplab_tf.models.safe_files import check_safe

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


@pytest.fixture
def secret(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones((4, 1), np.float32)
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    return tmp_path


def lead_out(file, name, how, folder):
    """Replace an array of an HDF5 file by one that lies elsewhere."""
    shape = file[name].shape
    del file[name]
    if how == "external link":
        file[name] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")
    elif how == "soft link":
        file[name] = h5py.SoftLink("/elsewhere")
    elif how == "external numbers":
        place = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, shape, "f4", external=place)
    else:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource(str(folder / "secret.h5"), "x", (4, 1))
        file.create_virtual_dataset(name, layout)


def save(path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="dense")]).save(path)


HOWS = {
    "external link": "is a link; no other file is read",
    "soft link": "is a link; no other file is read",
    "external numbers": "lies in another file, which is not read",
    "virtual numbers": "lies in another file, which is not read",
}


def error_of(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("how", HOWS)
def test_hdf5_that_leads_to_other_files(secret, how):
    path = secret / "model.h5"
    save(path)
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        (name,) = (name for name in names if "dense" in name and name.endswith("kernel"))
        lead_out(file, name, how, secret)
    expected = f"{path}: '{name}' {HOWS[how]}"
    assert error_of(load_model, path) == expected
    assert error_of(build_deeplab, "mobilenet", "v3_mobile", weights=path) == expected


@pytest.mark.parametrize("how", HOWS)
def test_keras_files_that_lead_to_other_files(secret, how):
    path, weights = secret / "model.keras", secret / "model.weights.h5"
    save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights.write_bytes(parts.pop("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        lead_out(file, "layers/dense/vars/0", how, secret)
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in parts.items():
            archive.writestr(name, contents)
        archive.write(weights, "model.weights.h5")
    assert error_of(load_model, path) == f"{path}: 'layers/dense/vars/0' {HOWS[how]}"
    error_of(build_deeplab, "mobilenet", "v3_mobile", weights=path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_network_is_not_run(tmp_path, suffix):
    path, target = tmp_path / f"model{suffix}", tmp_path / "run"
    code = f"__import__('os').makedirs({str(target)!r}, exist_ok=True) or x"
    layer = keras.layers.Lambda(eval(f"lambda x: {code}"))
    keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)]).save(path)
    target.rmdir()  # was made when the layer was built
    for function, options in ((load_model, {}), (build_deeplab, {"weights": path})):
        arguments = () if options else (path,)
        message = error_of(function, *arguments, **options)
        assert message.startswith(
            f"cannot load the model {path}: it has a Lambda layer, which runs"
        )
        assert not target.exists()


def test_a_function_of_the_configuration(tmp_path):
    config = {"layers": [{"config": {"fn": {"class_name": "__lambda__", "config": {}}}}]}
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    assert "Lambda layer" in error_of(check_safe, tmp_path / "a.keras")


@pytest.mark.parametrize(
    ("module", "name", "does"),
    [
        ("keras.layers", "TorchModuleWrapper", "runs Python code of the file"),
        ("keras", "layers.TorchModuleWrapper", "runs Python code of the file"),
        ("keras", "layers.Lambda", "runs Python code of the file"),
        ("", "keras.layers.Lambda", "runs Python code of the file"),
        ("keras.layers", "FlaxLayer", "runs Python code of the file"),
        ("keras.layers", "TFSMLayer", "reads other files"),
        ("keras", "layers.StringLookup", "reads other files"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_layers_that_run_or_read_something(tmp_path, suffix, module, name, does):
    """TorchModuleWrapper: CVE-2025-49655, which runs the pickle in Keras 3.11.0 to 3.11.2."""
    path, pickled = tmp_path / f"a{suffix}", "Y29z"
    layer = {"module": module, "class_name": name, "config": {"name": "x", "module": pickled}}
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("metadata.json", "{}")
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = config
    message = error_of(load_model, path)
    kind = name.rpartition(".")[2]
    assert message.startswith(f"cannot load the model {path}: it has a {kind} layer, which {does};")


def test_a_class_name_that_is_no_text(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": [{"class_name": None}]}))
    check_safe(tmp_path / "a.keras")


def test_groups_that_contain_themselves_and_huge_arrays(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a/x"] = np.ones(2)
        file["a/again"] = file["a"]
        file["b"] = h5py.Empty("f4")
        file["type"] = np.dtype("f4")
    check_safe(path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("huge", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 20))
    assert path.stat().st_size < 10_000
    assert "numbers, which is no network" in error_of(check_safe, path)
