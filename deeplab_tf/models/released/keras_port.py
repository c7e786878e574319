"""Reads the `.h5` files of the well-known Keras port of DeepLab v3+.

The port is github.com/bonlime/keras-deeplab-v3-plus; its files hold the authors' weights under
names of its own, such as entry_flow_block1_separable_conv1_depthwise and, for the normalization
after it, entry_flow_block1_separable_conv1_depthwise_BN. Current versions of the port resize
without aligned corners, so its scores differ from the authors' and ours.
"""

import re
from pathlib import Path

import h5py
import numpy as np

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.models.safe_files import read_datasets
from deeplab_tf.untrusted import DAMAGED_HDF5

_XCEPTION = "xception_65"
_PART = r"(separable_conv\d_(?:depthwise|pointwise)|shortcut)"
# (names of the port's layers without _BN, scope of the authors).
_SCOPES = [
    (re.compile(pattern), scope)
    for pattern, scope in (
        (r"(?:custom_)?logits_semantic", "logits/semantic"),
        (r"(image_pooling|concat_projection|aspp\d(?:_depthwise|_pointwise)?)", r"\1"),
        (r"feature_projection0", "decoder/feature_projection0"),
        (r"decoder_conv(\d)_(depthwise|pointwise)", r"decoder/decoder_conv\1_\2"),
        (r"entry_flow_conv1_(\d)", rf"{_XCEPTION}/entry_flow/conv1_\1"),
        (
            rf"(entry|exit)_flow_block(\d)_{_PART}",
            rf"{_XCEPTION}/\1_flow/block\2/unit_1/xception_module/\3",
        ),
        (
            rf"middle_flow_unit_(\d+)_{_PART}",
            rf"{_XCEPTION}/middle_flow/block1/unit_\1/xception_module/\2",
        ),
        (r"Conv_?", "MobilenetV2/Conv"),
        (r"expanded_conv_(depthwise|project)", r"MobilenetV2/expanded_conv/\1"),
        (r"expanded_conv_(\d+)_(expand|depthwise|project)", r"MobilenetV2/expanded_conv_\1/\2"),
    )
]
_VARIABLES = {  # of the port: of the authors
    **{"kernel": "weights", "depthwise_kernel": "depthwise_weights", "bias": "biases"},
    **{x: f"BatchNorm/{x}" for x in ("gamma", "beta", "moving_mean", "moving_variance")},
}


def read_keras_port(path):
    """The variables of a file by the authors' names, and by which names the file has them.

    Args:
      path: `.h5` file, weights alone or a whole model.

    Returns:
      ({the authors' name: float32 array}, {the authors' name: LAYER/VARIABLE in the file}); names
      that the port does not have stay as they are.

    Raises:
      InputError: if the file is damaged, leads to other files, or has two variables of one name.
    """
    arrays, origins = {}, {}
    try:
        with h5py.File(path) as file:
            for place, dataset in read_datasets(file, path).items():
                if place.startswith("optimizer_weights") or dataset.dtype.kind != "f":
                    continue
                layer, variable = ["", *place.split("/")][-2:]
                origin = f"{layer}/{variable.partition(':')[0]}"
                name = _authors_name(*origin.split("/"))
                if name in arrays:
                    raise InputError(f"{path}: has two variables {origin}; save the weights again")
                arrays[name], origins[name] = np.asarray(dataset[()], np.float32), origin
    except InputError:
        raise
    except DAMAGED_HDF5 as error:
        raise InputError(
            f"{Path(path)}: truncated, or not an HDF5 file ({one_line(error, 100)}); download it "
            "again"
        ) from error
    return arrays, origins


def _authors_name(layer, variable):
    """The authors' name of a variable of the port."""
    for pattern, scope in _SCOPES:
        match = pattern.fullmatch(layer.removesuffix("_BN"))
        if match and variable in _VARIABLES:
            return f"{match.expand(scope)}/{_VARIABLES[variable]}"
    return f"{layer}/{variable}"
