"""Released networks by name: downloaded and converted once, then loaded from the cache."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder
from deeplab_tf.models.files import BEST
from deeplab_tf.models.released.pytorch import SUFFIXES, import_pytorch
from deeplab_tf.models.released.tensorflow import HEAD_LAYERS, import_tensorflow
from deeplab_tf.pretrained.released import RELEASED, STARTS, converted_folder, released_file


def find_converted(name):
    """The Keras file of a released network; the first time it is downloaded and converted.

    Args:
      name: one of `released_names()`.

    Returns:
      Path of a `.keras` file; its classes are in `labels.json` next to it.

    Raises:
      InputError: if the network cannot be downloaded, or its file is damaged or another one.
    """
    return _find(name, RELEASED[name])


def find_start(name):
    """The Keras file of a network to start trainings from, as `find_converted`.

    Args:
      name: one of `start_names()`.

    Returns:
      Path of a `.keras` file of a network without class scores.

    Raises:
      InputError: as `find_converted`.
    """
    return _find(name, STARTS[name])


def _find(name, network):
    folder = converted_folder(name)
    if not (folder / BEST).is_file():
        with released_file(name) as path:
            _convert(path, network, folder)
    return folder / BEST


def _convert(path, network, folder):
    label_set = network.label_set
    if label_set is None:
        imported = _import_start(path, network)
    else:
        read = import_pytorch if path.name.endswith(SUFFIXES) else import_tensorflow
        imported = read(path, num_classes=label_set.num_classes)
    if imported.missing:
        raise InputError(
            f"{path}: has no weights for {', '.join(imported.missing[:3])}; delete the file and "
            "download it again"
        )
    with new_folder(folder, overwrite=True) as unfinished:
        imported.model.save(unfinished / BEST)
        if label_set:
            label_set.save(unfinished / "labels.json")


def _import_start(path, network):
    """The network of a file without its class scores, and without a head that the file lacks."""
    backbone, _, head = network.network.partition(", ")
    head = head or "v3_mobile"  # any: an ImageNet classifier has none
    imported = import_tensorflow(path, backbone, head, num_classes=2, drop_classes=True)
    of_head = [name for name in imported.missing if name.startswith(HEAD_LAYERS)]
    end = "fc8" if of_head == ["fc8"] else "image_pooling"
    model = keras.Model(imported.model.input, imported.model.get_layer(end).input)
    others = tuple(name for name in imported.missing if name not in of_head)
    return imported._replace(model=model, missing=others)
