"""Networks with 8-bit convolutions, made with images of the training list."""

import numpy as np
import pytest
import tensorflow as tf
from exported import ENDINGS, need_quantizer, spread_scores, windows_model
from tiny_model import blocks

import deeplab_tf
from deeplab_tf import InputError, open_model, segment
from deeplab_tf.data.image_files import load_image, load_pair
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.evaluation import ConfusionMatrix
from deeplab_tf.export import export_model, load_description
from deeplab_tf.export.formats import QUANTIZED
from deeplab_tf.labels import LabelSet

pytestmark = [
    # The converters use TensorFlow, NumPy and Keras in ways that these warn about; not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.parametrize("format", QUANTIZED)
def test_eight_bits_change_little(format, tmp_path):
    need_quantizer(format)
    model, path = spread_scores(windows_model(), blocks(129, 161)), tmp_path / f"m{ENDINGS[format]}"
    images = [blocks(65 + i, 97 - i, seed=i) for i in range(8)]
    export_model(model, path, LabelSet.generic(4), calibration=images)
    assert load_description(path).precision == "int8"
    opened, agreement = open_model(path), []
    for size in ((65, 97), (40, 33), (120, 90)):
        image = blocks(*size, seed=50)
        found = opened.probabilities(image)
        np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)
        # Finer than the 256 values of 8 bits, since what follows the scores is not quantized.
        assert len(np.unique(found)) > 1000
        assert (segment(opened, image) == found.argmax(-1)).mean() >= 0.999
        expected = segment(model, image, return_probabilities=True)
        assert 0 < np.abs(found - expected).mean() < 0.05
        agreement.append((found.argmax(-1) == expected.argmax(-1)).mean())
    assert np.mean(agreement) > 0.95, agreement


def kernels_in_8_bits(path):
    """How many convolutions of a .tflite file have kernels of 8-bit numbers."""
    tensors = tf.lite.Interpreter(model_path=str(path)).get_tensor_details()
    kernels = [one for one in tensors if len(one["quantization_parameters"]["scales"]) > 1]
    return sum(one["dtype"] == np.int8 for one in kernels)


def test_named_layers_stay_in_float(tmp_path):
    need_quantizer("litert")
    model, images, found = windows_model(), [blocks(65, 97)], []
    for names in ((), ("scores",), (model.layers[2].name, "scores")):
        path, labels = tmp_path / f"{len(names)}.tflite", LabelSet.generic(4)
        export_model(model, path, labels, calibration=images, int8_except=names)
        found.append(kernels_in_8_bits(path))
    assert found == [6, 5, 4]


def test_layers_that_cannot_stay_in_float_are_refused(tmp_path):
    model, images, labels = windows_model(), [blocks(65, 97)], LabelSet.generic(4)
    for name, more in (("m.tflite", {}), ("m.xml", {"calibration": images})):
        with pytest.raises(InputError, match="int8_except is for 8 bits in the format litert"):
            export_model(model, tmp_path / name, labels, int8_except=["scores"], **more)
    more = {"calibration": images, "int8_except": ["fc8"]}
    with pytest.raises(InputError, match=r"has no convolution 'fc8'; it has .*, scores$"):
        export_model(model, tmp_path / "m.tflite", labels, **more)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("format", QUANTIZED)
def test_the_shipped_network_keeps_its_mean_iou(format, msrc21, tmp_path):
    need_quantizer(format)
    model, path = deeplab_tf.load_pretrained("msrc21"), tmp_path / f"m{ENDINGS[format]}"
    train, val = read_split(msrc21, "train", False), read_split(msrc21, "val")
    images = [load_image(example.image) for example in train[::4]]
    label_set = read_label_set(msrc21)
    export_model(model, path, label_set, calibration=images)
    confusions, opened = [ConfusionMatrix(21), ConfusionMatrix(21)], open_model(path)
    for example in val:
        image, truth = load_pair(example, 21)
        for network, confusion in zip((model, opened), confusions, strict=True):
            confusion.add(truth, segment(network, image))
    before, after = (confusion.miou for confusion in confusions)
    print(f"{format}: mean IoU {before:.4f}, in 8 bits {after:.4f}")
    assert abs(after - before) <= 0.005
