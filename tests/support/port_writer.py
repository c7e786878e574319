"""Writes the authors' variables as the Keras port does, as it renamed them when it was made."""

import h5py
import numpy as np

_KERAS = {"weights": "kernel", "depthwise_weights": "depthwise_kernel", "biases": "bias"}


def port_name(name):
    """(layer, variable) of the port for one of the authors' variables."""
    scope, _, variable = name.rpartition("/")
    scope = scope.removeprefix("MobilenetV2/").removeprefix("xception_65/")
    if scope.startswith("middle_flow"):
        scope = scope.replace("/block1", "")
    elif "_flow" in scope:
        scope = scope.replace("/unit_1", "")
    scope = scope.replace("/xception_module", "").removeprefix("decoder/")
    layer = scope.replace("/BatchNorm", "_BN").replace("/", "_")
    return layer, _KERAS.get(variable, variable)


def write_port(path, variables, root=""):
    """Write {the authors' name: array} as Keras 2 wrote weights."""
    with h5py.File(path, "w") as file:
        for name, array in variables.items():
            layer, variable = port_name(name)
            file[f"{root}{layer}/{layer}/{variable}:0"] = array
        layers = sorted({port_name(name)[0] for name in variables})
        file.attrs["layer_names"] = np.array(layers, "S")
