"""A network with every kind of window that exports must take, and what exports need installed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from seeds import seed
from tensorflow.core.protobuf import saved_model_pb2

from deeplab_tf import segment
from deeplab_tf.models.atrous_layers import AtrousConv2D

# The package that converts to a format, and the one that runs it.
PACKAGES = {
    "onnx": ("tf2onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert",),
}
ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}
DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def need(format):
    """Skip a test of a format whose packages are not installed."""
    for package in PACKAGES[format]:
        pytest.importorskip(package, reason=f'needs pip install ".[{format}]"')


def need_quantizer(format):
    """Skip a test of a format's 8 bits, if the packages are not installed."""
    need(format)
    if format == "openvino":
        pytest.importorskip("nncf", reason='needs pip install ".[openvino]"')


def labels_as_documented(path, images):
    """What the lines of docs/export.md that run a file without this package give as `labels`.

    Args:
      path: the file.
      images: (B, H, W, 3) float32.
    """
    written = f"runs/model{path.suffix}"
    snippets = re.findall("```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (code,) = [each for each in snippets if written in each and "deeplab_tf" not in each]
    names = {"images": images}
    exec(code.replace(written, str(path)), names)
    return names["labels"]


def windows_model(num_classes=4, channels=3):
    """Strides, dilated and depthwise windows, even and odd rates, normalization: output stride 4.

    Its scores depend on pixels up to 40 away, so that wrong padding changes labels.
    """
    seed(3)
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for _ in range(2):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MaxPooling2D(3, strides=1, padding="same")(x)
    x = AtrousConv2D(8, 3, padding="same", dilation_rate=3, activation="relu")(x)
    x = keras.layers.Conv2D(8, 5, padding="same", dilation_rate=2, activation="relu")(x)
    model = keras.Model(images, keras.layers.Conv2D(num_classes, 1, name="scores")(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.weights])
    return model


def spread_scores(model, image):
    """Scale the last kernel, so that the scores of an image differ by about 3 between classes."""
    layer = model.get_layer("scores")
    scores = model(image[None].astype(np.float32))
    layer.kernel.assign(3 * layer.kernel / np.std(scores))
    layer.bias.assign(-3 * np.mean(scores, axis=(0, 1, 2)) / np.std(scores))
    return model


def stored(path):
    """The `MetaGraphDef` in an export, which takes less time to read than to load."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def assert_as_segment(model, image, crf, labels, probabilities=None):
    """Check that an export gives what `segment` gives; probabilities None: were not asked for."""
    expected = segment(model, image, crf, return_probabilities=True)
    assert labels.dtype == np.uint8 and labels.shape == image.shape[:2]
    assert (labels == segment(model, image, crf)).mean() >= 0.999
    if probabilities is None:
        return
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))
    assert np.abs(probabilities - expected).mean() < 1e-5
