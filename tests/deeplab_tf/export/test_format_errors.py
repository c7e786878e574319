"""Exports for other runtimes that cannot be written, or not be opened."""

import json
import sys
import types
import zipfile

import pytest
from exported import ENDINGS
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf import InputError, open_model
from deeplab_tf.export import export_model, load_description
from deeplab_tf.labels import LabelSet

LABELS, PARAMS = LabelSet.generic(4), CRFParams()


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        ("m.onnx", "litert", "m.onnx: for the format litert, give a name that ends in .tflite"),
        ("m", "openvino", "m: for the format openvino, give a name that ends in .xml"),
        ("m.tflite", "saved_model", "m.tflite: for the format saved_model, give a folder's name"),
    ],
)
def test_the_ending_must_be_that_of_the_format(path, format, message, tmp_path):
    with pytest.raises(InputError) as error:
        export_model(random_model(), tmp_path / path, LABELS, format=format)
    assert str(error.value).endswith(message) and not list(tmp_path.iterdir())


def test_bad_settings_leave_nothing(tmp_path):
    for name, settings, message in (
        ("m.onnx", {"image_size": (0, 9)}, r"give \(height, width\) in pixels"),
        ("m.onnx", {"calibration": [blocks(9, 9)]}, "8 bits are for the formats openvino and"),
        ("m.xml", {"calibration": []}, "no calibration images"),
        ("m.xml", {"calibration": [blocks(9, 9) / 255]}, r"image is float64 \(9, 9, 3\)"),
        (
            "m.tflite",
            {"calibration": [blocks(33, 50), blocks(33, 51)], "image_size": (33, 50)},
            r"calibration image of shape \(33, 51, 3\), but only images of 33x50 pixels are taken",
        ),
        ("m.tflite", {"label_set": LabelSet.generic(3)}, "3 class names for a model of 4 classes"),
    ):
        with pytest.raises(InputError, match=message):
            export_model(random_model(), tmp_path / name, **{"label_set": LABELS, **settings})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "package"),
    [("onnx", "tf2onnx"), ("openvino", "openvino"), ("litert", "ai_edge_litert.interpreter")],
)
def test_a_missing_package_is_one_line(format, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", types.ModuleType("onnx"))  # there, if need be
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"m{ENDINGS[format]}"
    extra = rf'pip install "deeplab-tf\[{format}\]"'
    if format == "litert":  # TensorFlow itself writes these files
        path.write_bytes(b"0000TFL3")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("deeplab_tf.json", json.dumps(DESCRIPTION))
        with pytest.raises(InputError, match=f"ai_edge_litert, which cannot be.*{extra}"):
            open_model(path)
        return
    with pytest.raises(InputError, match=f"the format {format} needs .* {package}.*{extra}"):
        export_model(random_model(), path, LABELS)
    assert not list(tmp_path.iterdir())


DESCRIPTION = {
    "format": 1,
    "classes": {"names": ["a", "b"], "colors": [[0, 0, 0], [9, 9, 9]]},
    "stride": 8,
    "input": {"channels": 3, "size": None},
    "settings": {},
    "crf": None,
    "has_crf": False,
    "max_side": None,
    "precision": "float32",
}


def test_a_description_of_a_later_version(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"0000TFL3")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("deeplab_tf.json", json.dumps({**DESCRIPTION, "format": 2}))
    with pytest.raises(InputError, match="newer version of this package; update it") as error:
        load_description(path)
    assert str(error.value).startswith(f"{path}: written by a newer version")


def test_what_depth_cannot_have_is_refused(tmp_path):
    network, path = random_model(1), tmp_path / "served"
    with pytest.raises(InputError, match="predicts depth, which a CRF of classes cannot refine"):
        export_model(network, path, None, PARAMS)
    with pytest.raises(InputError, match="are for classes; the network predicts depth"):
        export_model(network, path, None, scales=(1.0, 2.0))
    with pytest.raises(InputError, match="8 bits are for networks for classes"):
        export_model(network, f"{path}.xml", None, calibration=[blocks(33, 33)])
    assert not list(tmp_path.iterdir())
