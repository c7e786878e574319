"""The variables in the files of the Keras port, by the authors' names."""

import h5py
import numpy as np
import pytest
from port_writer import port_name, write_port

from deeplab_tf.errors import InputError
from deeplab_tf.models.released.keras_port import read_keras_port

_XCEPTION = "xception_65/entry_flow/block2/unit_1/xception_module"
_MIDDLE = "xception_65/middle_flow/block1/unit_16/xception_module"
# The authors' names, and those that are in the port's released files.
NAMES = {
    "MobilenetV2/Conv/weights": "Conv/kernel",
    "MobilenetV2/Conv/BatchNorm/gamma": "Conv_BN/gamma",
    "MobilenetV2/expanded_conv/depthwise/depthwise_weights": (
        "expanded_conv_depthwise/depthwise_kernel"
    ),
    "MobilenetV2/expanded_conv/project/BatchNorm/moving_mean": (
        "expanded_conv_project_BN/moving_mean"
    ),
    "MobilenetV2/expanded_conv_16/expand/weights": "expanded_conv_16_expand/kernel",
    "xception_65/entry_flow/conv1_2/BatchNorm/beta": "entry_flow_conv1_2_BN/beta",
    f"{_XCEPTION}/shortcut/weights": "entry_flow_block2_shortcut/kernel",
    f"{_XCEPTION}/separable_conv3_depthwise/depthwise_weights": (
        "entry_flow_block2_separable_conv3_depthwise/depthwise_kernel"
    ),
    f"{_MIDDLE}/separable_conv1_pointwise/BatchNorm/moving_variance": (
        "middle_flow_unit_16_separable_conv1_pointwise_BN/moving_variance"
    ),
    "xception_65/exit_flow/block2/unit_1/xception_module/separable_conv1_pointwise/weights": (
        "exit_flow_block2_separable_conv1_pointwise/kernel"
    ),
    "image_pooling/weights": "image_pooling/kernel",
    "aspp0/BatchNorm/gamma": "aspp0_BN/gamma",
    "aspp2_depthwise/depthwise_weights": "aspp2_depthwise/depthwise_kernel",
    "aspp3_pointwise/BatchNorm/beta": "aspp3_pointwise_BN/beta",
    "concat_projection/weights": "concat_projection/kernel",
    "decoder/feature_projection0/weights": "feature_projection0/kernel",
    "decoder/decoder_conv1_depthwise/BatchNorm/gamma": "decoder_conv1_depthwise_BN/gamma",
    "decoder/decoder_conv0_pointwise/weights": "decoder_conv0_pointwise/kernel",
    "logits/semantic/weights": "logits_semantic/kernel",
    "logits/semantic/biases": "logits_semantic/bias",
}
VARIABLES = {name: np.float32([index]) for index, name in enumerate(NAMES)}


def test_the_helper_names_as_the_port_does():
    assert {name: "/".join(port_name(name)) for name in NAMES} == NAMES


@pytest.mark.parametrize("root", ["", "model_weights/"], ids=["weights", "whole"])
def test_names_of_the_authors(tmp_path, root):
    write_port(tmp_path / "a.h5", VARIABLES, root)
    arrays, origins = read_keras_port(tmp_path / "a.h5")
    assert arrays == VARIABLES and origins == NAMES


def test_other_names_stay(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["custom_logits_semantic/custom_logits_semantic/bias:0"] = np.float64([1])
        file["Conv_/Conv_/kernel:0"] = np.float32([2])
        file["other/gamma:0"] = np.float16([3])
        file["top"] = np.float32([4])
        file["Conv/Conv/count:0"] = np.float32([5])
        file["optimizer_weights/Conv/Conv/kernel:0"] = np.float32([6])
        file["steps"] = 7
    arrays, origins = read_keras_port(tmp_path / "a.h5")
    assert arrays == {
        "logits/semantic/biases": [1],
        "MobilenetV2/Conv/weights": [2],
        "other/gamma": [3],
        "/top": [4],
        "Conv/count": [5],
    }
    assert {array.dtype.name for array in arrays.values()} == {"float32"}
    assert origins["logits/semantic/biases"] == "custom_logits_semantic/bias"


def refused(path, message):
    with pytest.raises(InputError) as error:
        read_keras_port(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ") and message in text and "\n" not in text


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.h5"
    write_port(path, VARIABLES)
    path.write_bytes(path.read_bytes()[:3000])
    refused(path, "truncated, or not an HDF5 file")
    with h5py.File(path, "w") as file:
        file["a/Conv/kernel:0"] = file["b/Conv/kernel:0"] = np.float32([1])
    refused(path, "has two variables Conv/kernel")
    with h5py.File(path, "w") as file:
        file["Conv/Conv/kernel:0"] = h5py.ExternalLink("other.h5", "/secret")
    refused(path, "'Conv/Conv/kernel:0' is a link; no other file is read")
