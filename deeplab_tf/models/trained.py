"""Trained networks: load them, and start others from them."""

from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels, read_labels
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.files import PACKED, is_released, is_start, load_keras
from deeplab_tf.models.locate import find_model, find_trained, is_packed
from deeplab_tf.models.packed import load_card, unpack
from deeplab_tf.models.released.converted import find_start
from deeplab_tf.models.score_heads import head_sizes, slices_of
from deeplab_tf.models.weights import copy_layers
from deeplab_tf.pretrained.released import RELEASED


def load_model(path):
    """Load a trained network.

    `keras.saving.load_model` does the same for Keras's files once `deeplab_tf` is imported, which
    tells Keras about the layers of this package.

    Args:
      path: a `.keras` file, the `.h5` file of a whole model, a packed network, `.npz`, a model
        directory (its `best.keras`, else its `last.keras`), or a name that `load_pretrained`
        takes.

    Returns:
      keras.Model, not compiled.

    Raises:
      InputError: if there is none; if the file is damaged, not a model or weights without a
        network; or if it has layers that are unknown.

    Example:
      >>> model = deeplab_tf.load_model("runs/demo")
    """
    return _load(find_model(path))


def load_pretrained(name):
    """Load a trained network by its name; `deeplab-tf models` lists them.

    Networks that the DeepLab authors released are downloaded the first time, into the folder of the
    environment variable DEEPLAB_TF_CACHE, else ~/.cache/deeplab-tf.

    Args:
      name: such as "msrc21" (photographs), which comes with the package; `load_card(name)` gives
        its classes, the CRF parameters that suit it, its scores and terms. Or a released network
        such as "voc12_mobilenetv2"; `deeplab_tf.pretrained.released.RELEASED[name]` tells about it.

    Returns:
      keras.Model: RGB images `(B, H, W, 3)`, values 0..255, of any size to float32 scores.

    Raises:
      InputError: if there is no network of this name, it cannot be downloaded, or its file is
        damaged.

    Example:
      >>> label = deeplab_tf.segment(deeplab_tf.load_pretrained("msrc21"), image)
    """
    return _load(find_trained(name))


def _load(file):
    return (unpack if file.suffix == PACKED else load_keras)(file)


def load_labels(path, num_classes, heads=None):
    """The classes of a trained network: those of its card, or of `labels.json` next to it.

    Args:
      path: what `load_model` takes.
      num_classes: number of its classes.
      heads: its score heads, see `score_heads`; None: it has one.

    Returns:
      `LabelSet`, or `HeadLabels` of a network with several score heads; None if there is neither.

    Raises:
      InputError: as `check_classes`, or if the file cannot be read.
    """
    if is_packed(path):
        return load_card(path).label_set
    file = find_model(path).parent / "labels.json"
    if not file.is_file():
        return None
    return check_classes(read_labels(file), file, path, num_classes, heads)


def suited_crf(path):
    """The `CRFParams` that suit a trained network, from its card or the table of released ones.

    Args:
      path: what `load_model` takes.

    Returns:
      `CRFParams`; None if none are known to.

    Raises:
      InputError: if there is no such network, or its card cannot be read.
    """
    if is_released(path):
        return RELEASED[str(path)].crf
    return load_card(path).crf_params if is_packed(path) else None


def generic_labels(num_classes, heads=None):
    """`LabelSet.generic`, or of a network with several score heads `HeadLabels.generic`."""
    if not heads:
        return LabelSet.generic(num_classes)
    return HeadLabels.generic(head_sizes(heads))


def check_classes(label_set, file, path, num_classes, heads=None):
    """Return the `LabelSet` that a file has for a network, if their numbers of classes agree.

    Args:
      label_set: the `LabelSet` or `HeadLabels`.
      file: where it is from.
      path: of the network.
      num_classes: number of its classes.
      heads: its score heads, see `score_heads`; None: it has one.

    Raises:
      InputError: if they do not, or the heads differ.
    """
    found = slices_of(label_set.sizes) if isinstance(label_set, HeadLabels) else {}
    if found != (heads or {}):
        names = [", ".join(each) or "none" for each in (found, heads or {})]
        raise InputError(
            f"{file}: classes of the score heads {names[0]}, but the model {path} has "
            f"{names[1]}, or of other sizes; fix or delete the file"
        )
    if label_set.num_classes != num_classes:
        raise InputError(
            f"{file}: {label_set.num_classes} classes but the model {path} has"
            f" {num_classes}; fix or delete the file"
        )
    return label_set


def start_from(model, path, prefix="", drop_classes=False):
    """Copy the weights of a trained network into the layers that have the same name and shapes.

    Args:
      model: keras.Model that receives them; its other layers stay as they are. The first
        convolution of a network for RGB images also fits that of a network for more channels.
      path: what `load_model` takes; the network may have another number of classes, another head,
        or fewer layers. Or the name of a network without class scores, which is downloaded the
        first time: one of `deeplab_tf.pretrained.released.STARTS`.
      prefix: of the names of the layers that receive weights, which the trained network's layers
        do not have; "" copies into all.
      drop_classes: whether to leave the layers that score the classes as they are, also where
        those of the trained network would fit.

    Returns:
      `deeplab_tf.models.weights.Start`: the layers that were copied, and those that were not.

    Raises:
      InputError: if the file cannot be read, its network is fused, or no layer fits.
    """
    file = find_start(str(path)) if is_start(path) else find_model(path)
    return copy_layers(model, load_model(file), file, prefix, drop_classes)
