"""Packed networks: small files to hand out, of 16-bit kernels and a card.

A packed network is an `.npz` file, which `numpy.load` reads: `card.json` (see `ModelCard`) and an
array for each weight, named LAYER/INDEX. Kernels are float16. Vectors, such as biases and the
statistics of batch normalization, take little room and stay float32. The layers are built from the
settings on the card, not from a stored configuration, so that another version of Keras can read
the file.
"""

import contextlib
import re
import zipfile
from collections import Counter
from functools import partial

import keras
import numpy as np

from deeplab_tf.data.array_files import DAMAGED_NPZ, read_npz
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.files import whole_file
from deeplab_tf.models.card import ModelCard
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.fast.fuse import check_not_fused
from deeplab_tf.models.fcn import build_fcn
from deeplab_tf.models.files import CARD, PACKED
from deeplab_tf.models.late_fusion import build_late_fusion
from deeplab_tf.models.locate import find_model
from deeplab_tf.models.output_stride import with_output_stride
from deeplab_tf.models.precision import build_with_precision, with_precision
from deeplab_tf.models.walk import leaf_layers
from deeplab_tf.untrusted import check_expansion

# What builds the network of a card, by its "network".
BUILDERS = {
    "deeplab": build_deeplab,
    "fcn": build_fcn,
    "deeplab_late_fusion": partial(build_late_fusion, build_deeplab),
    "fcn_late_fusion": partial(build_late_fusion, build_fcn),
}
_DAMAGED = (AttributeError, *DAMAGED_NPZ)


def pack(model, path, card):
    """Write a trained network as a packed file.

    Args:
      model: keras.Model, as `build_deeplab` or `build_fcn` builds it.
      path: the `.npz` file to write; it appears when it is complete.
      card: `ModelCard`; its `network` must build this model.

    Returns:
      float, the largest change of a score by the 16 bits relative to the largest score, on a random
      image.

    Raises:
      InputError: if the card builds another network, or a weight does not fit into 16 bits.
    """
    check_not_fused(model)
    if any(layer.compute_dtype != "float32" for layer in leaf_layers(model)):
        model = with_precision(model, "float32")
    weights = {
        name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()
    }
    rebuilt = _build(card)
    try:
        _fill(rebuilt, weights)
        # Settings such as a window size change no shape, so only the scores show that they differ.
        is_same = _difference(model, rebuilt) < 1e-3
    except ValueError:
        is_same = False
    if not is_same:
        raise InputError(
            f"these settings build another network than {model.name!r}; give the settings that it "
            "was trained with; only networks of build_deeplab and build_fcn can be packed"
        )
    small = {name: _shortened(name, array) for name, array in weights.items()}
    _fill(rebuilt, small)
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        # The same network gives the same bytes: ZipInfo's date is constant.
        file.writestr(zipfile.ZipInfo(CARD), card.to_json(), zipfile.ZIP_DEFLATED)
        for name, array in small.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return _difference(model, rebuilt)


def unpack(path):
    """Build the network of a packed file.

    Args:
      path: the `.npz` file.

    Returns:
      keras.Model in float32, not compiled.

    Raises:
      InputError: if the file is damaged, or not a packed network.
    """
    card = load_card(path)
    with _explained(path):
        weights = read_npz(path)
    try:
        if card.network["num_classes"] != card.label_set.num_classes:
            # Building it could take all memory.
            raise ValueError("its card names another number of classes than its network has")
        model = _build(card)
        _fill(model, weights)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be built by this version of the package: {one_line(error, 200)}"
        ) from error
    return model


def load_card(path):
    """Read the card of a packed network.

    Args:
      path: the `.npz` file, or the name of a network that comes with the package.

    Returns:
      `ModelCard`.

    Raises:
      InputError: if the file is missing, damaged, or not a packed network.
    """
    path = find_model(path)
    if path.suffix != PACKED:
        raise InputError(
            f"{path}: not a packed network; `deeplab-tf pack` makes one from a trained network"
        )
    with _explained(path), zipfile.ZipFile(path) as file:
        if CARD not in file.namelist():
            raise InputError(
                f"not a packed network, which `deeplab-tf pack` writes: it has no {CARD}"
            )
        check_expansion(file, path)
        return ModelCard.from_json(file.read(CARD).decode())


@contextlib.contextmanager
def _explained(path):
    """Turn the errors of reading a damaged file into an `InputError` that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except _DAMAGED as error:
        raise InputError(
            f"{path}: damaged, cut off, or not a packed network ({one_line(error, 150)}); copy it "
            "again"
        ) from error


def _build(card):
    arguments = dict(card.network)
    build = BUILDERS[arguments.pop("network")]
    model = build_with_precision(lambda: build(**arguments, weights=None), "float32")[0]
    tested = card.testing.get("output_stride")
    return with_output_stride(model, tested) if tested else model


def _fill(model, weights):
    """Set all weights; ValueError if the names or shapes are not those of the model."""
    variables = _variables(model)
    if missing := [name for name in variables if name not in weights]:
        raise ValueError(f"it has no weight {missing[0]}")
    if extra := sorted(weights.keys() - variables.keys()):
        raise ValueError(f"its weight {extra[0]} is not part of the network")
    for name, variable in variables.items():
        variable.assign(weights[name])


def _variables(model):
    """{name: variable} of all weights; names are those of their layers and a number."""
    return {
        f"{key}/{index}": variable
        for key, layer in _layers_by_key(model).items()
        for index, variable in enumerate(layer.weights)
    }


def _layers_by_key(model):
    """{name: layer} of the layers with weights.

    Keras numbers the layers without a name of their own by how many were built in the process, so
    these are counted here.
    """
    found, counts = {}, Counter()
    for layer in leaf_layers(model):
        name = re.sub(r"_\d+$", "", layer.name)
        if not layer.weights:
            continue
        if name.replace("_", "") in (cls.__name__.lower() for cls in type(layer).__mro__):
            counts[name] += 1
            name = f"{name}:{counts[name]}"
        else:
            name = layer.name
        if name in found:
            raise InputError(f"{model.name!r} has two layers named {name!r}")
        found[name] = layer
    return found


def _shortened(name, array):
    """Kernels in 16 bits, others as they are."""
    if array.ndim < 2:
        return array
    with np.errstate(over="ignore"):
        short = array.astype(np.float16)
    if not np.isfinite(short).all():
        raise InputError(f"the weight {name} has values beyond 65504, which 16 bits cannot hold")
    return short


def _difference(model, other):
    """Largest difference of the scores, relative to the largest score."""
    height, width, channels = model.input_shape[1:]
    shape = 1, height or 97, width or 129, channels
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    scores, others = (
        keras.ops.convert_to_numpy(network(images, training=False)) for network in (model, other)
    )
    if scores.shape != others.shape:
        return np.inf
    return float(np.abs(scores - others).max() / max(np.abs(scores).max(), 1e-30))
