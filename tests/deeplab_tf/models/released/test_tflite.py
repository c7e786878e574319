"""The reader of `.tflite` files against files written by TensorFlow's schema."""

import numpy as np
import pytest
from tflite_writer import CONV_2D, DEPTHWISE_CONV_2D, RESIZE_BILINEAR, TfliteFile

from deeplab_tf.errors import InputError
from deeplab_tf.models.released.tflite import read_tflite

# 2 outputs of 1 row, 2 columns, 3 inputs; and its bias.
KERNEL = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)
BIAS = np.int32([4, -6])
ENDING = "/weights_quant/FakeQuantWithMinMaxVars"


def write(path, *, resized_scale=0.5, kernel=KERNEL, quantization=None):
    """A convolution, a depthwise one, and a resizing of the first one's result."""
    file = TfliteFile()
    image = file.tensor("image", scale=1.0, zero=0)
    weights = file.tensor(
        f"net/Conv{ENDING}", kernel, **(quantization or {"scale": 0.5, "zero": 2})
    )
    bias = file.tensor("net/Conv/Conv2D_Fold_bias", BIAS, scale=0.25, zero=0)
    depthwise = np.int8([[[[1, -2]], [[3, -4]]]])  # 1, 2 rows, 1 column, 2 channels
    filters = file.tensor("net/block/depthwise/depthwise_weights", depthwise, [1, 10], [0, 0], 3)
    result, small = file.tensor("a", scale=0.5, zero=0), file.tensor("b", scale=1.0, zero=0)
    large = file.tensor("c", scale=resized_scale, zero=0)
    file.operator(CONV_2D, [image, weights, bias], result)
    file.operator(DEPTHWISE_CONV_2D, [result, filters, -1], small)
    file.operator(RESIZE_BILINEAR, [result], large)
    path.write_bytes(file.contents())
    return path


def test_arrays_are_dequantized_and_named(tmp_path):
    found, magnified = read_tflite(write(tmp_path / "net.tflite"))
    assert set(found) == {
        *("net/Conv/weights", "net/Conv/biases", "net/block/depthwise/depthwise_weights")
    }
    assert found["net/Conv/weights"].shape == (1, 2, 3, 2)
    assert found["net/Conv/weights"][0, 1, 2, 1] == (11 - 2) * 0.5
    np.testing.assert_array_equal(found["net/Conv/biases"], np.float32([1, -1.5]))
    np.testing.assert_array_equal(
        found["net/block/depthwise/depthwise_weights"][:, 0, :, 0], [[1, -20], [3, -40]]
    )
    assert magnified == {}


def test_one_scale_for_each_channel_and_none(tmp_path):
    channels = {"scale": [1, 10], "zero": [0, 1]}
    found, _ = read_tflite(write(tmp_path / "net.tflite", quantization=channels))
    np.testing.assert_array_equal(found["net/Conv/weights"][0, 0, :, 1], [50, 60, 70])
    plain = {"kernel": np.float32(KERNEL), "quantization": {"scale": None}}
    found, _ = read_tflite(write(tmp_path / "net.tflite", **plain))
    np.testing.assert_array_equal(found["net/Conv/weights"][0, 0, :, 1], [6, 7, 8])


def test_a_resizing_that_changes_the_scale_is_found(tmp_path):
    _, magnified = read_tflite(write(tmp_path / "net.tflite", resized_scale=1.25))
    assert magnified == {"net/Conv": 2.5}


def test_truncated_and_foreign_files(tmp_path):
    """A file cut anywhere, or with any byte changed, is read or refused, in one line."""
    path = write(tmp_path / "net.tflite")
    contents = path.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    damaged = [contents[:length] for length in range(8, len(contents), 7)]
    for place in rng.integers(8, len(contents), 300):
        byte = bytes([rng.integers(256)])
        damaged.append(contents[:place] + byte + contents[place + 1 :])
    for data in damaged:
        path.write_bytes(data)
        try:
            read_tflite(path)
        except InputError as error:
            refused += 1
            assert str(error) == f"{path}: truncated, or not a .tflite file; download it again"
    assert refused > 50
    path.write_bytes(b"TFL3 but no model")
    with pytest.raises(InputError, match=r"not a \.tflite file, or damaged"):
        read_tflite(path)
