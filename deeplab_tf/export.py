"""Export a trained network as a SavedModel, which TensorFlow serves without this package."""

import tempfile
from pathlib import Path

import tensorflow as tf

from crf import dense_crf
from deeplab_tf.data.decode_in_graph import decode_in_graph
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation.inference import check_settings, most_probable, upsampled_scores
from deeplab_tf.evaluation.photographs import shrink
from deeplab_tf.files import new_folder
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.resize import find_output_stride

_FLOAT = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
_UINT8 = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")
_BYTES = tf.TensorSpec([None], tf.string, "image_bytes")


def export_saved_model(
    model, path, label_set, crf=None, scales=(1.0,), flip=False, overwrite=False, pad_to=None
):
    """Write a network, and optionally the CRF, as a SavedModel.

    Its signatures take a batch of images of one size, any height and width:

        serving_default   images: float32 (B, H, W, 3) RGB, values 0..255
        uint8             images: uint8 (B, H, W, 3) RGB
        encoded           image_bytes: strings (B,), the contents of JPEG or PNG files, which are
                          turned by their EXIF orientation, as viewers show them

    and each gives `labels`, uint8 (B, H, W), and `probabilities`, float32 (B, H, W, C), as
    `segment` computes them. `assets/labels.json` holds the classes' names and colors.

    The graph runs on every machine, but is optimized for the kind of machine that exports it: to
    serve on GPUs, export on a machine with a GPU; to serve on CPUs, on one without.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores.
      path: folder to write; it appears only when it is complete.
      label_set: `LabelSet` of the model's classes.
      crf: `crf.CRFParams` of the fully connected CRF to apply after the network; None: no CRF.
      scales, flip, pad_to: as in `deeplab_tf.evaluation.inference.predict_probabilities`.
      overwrite: whether to replace an existing folder.

    Raises:
      InputError: if `path` exists and is not empty (without `overwrite`), the number of classes
        differs from the model's, or a setting is out of range.

    Example:
      >>> export_saved_model(model, "served", LabelSet.load("model_dir/labels.json"))
      >>> serve = tf.saved_model.load("served").signatures["uint8"]
      >>> serve(images=image[None])["labels"]
    """
    check_settings(scales, flip, pad_to=pad_to)
    num_classes = model.output_shape[-1]
    if label_set.num_classes != num_classes:
        raise InputError(
            f"{label_set.num_classes} class names for a model of {num_classes} classes;"
            " give one name for each class"
        )
    with new_folder(path, overwrite) as folder, tempfile.TemporaryDirectory() as assets:
        labels_path = Path(assets) / "labels.json"
        label_set.save(labels_path)
        served = _Served(model, labels_path, crf, (scales, flip, pad_to))
        signatures = {
            "serving_default": served.serve_float,
            "uint8": served.serve_uint8,
            "encoded": served.serve_encoded,
        }
        tf.saved_model.save(served, str(folder), signatures)


def is_saved_model(path):
    """Whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


def open_saved_model(path):
    """Open a SavedModel that `export_saved_model` wrote.

    Args:
      path: its folder.

    Returns:
      (function from an image (H, W, 3) uint8 to labels (H, W) uint8, `LabelSet`). The function
      also takes `max_side`, see `deeplab_tf.segment`.

    Raises:
      InputError: if the folder cannot be read, or holds another kind of SavedModel.
    """
    try:
        served = tf.saved_model.load(str(path))
        signature = served.signatures["uint8"]
        label_set = LabelSet.load(Path(path) / "assets" / "labels.json")
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: not a SavedModel written by the export command ({one_line(error)});"
            " export it again"
        ) from error

    # The default argument keeps `served` alive, which owns the variables.
    def label_of(image, max_side=None, served=served):
        seen = shrink(image, max_side)
        result = signature(images=tf.constant(seen[None]))
        return most_probable(result["probabilities"][0].numpy(), image.shape[:2])

    return label_of, label_set


class _Served(tf.Module):
    """What is saved: the variables, the labels file, and one function for each signature."""

    def __init__(self, model, labels_path, crf, settings):
        super().__init__()
        self._labels = tf.saved_model.Asset(str(labels_path))
        # Track only the variables: for a tracked model, Keras would add its own graphs to the file.
        self._weights = [variable.value for variable in model.variables]
        stride = find_output_stride(model)
        network = fuse(model)

        # One graph that all signatures call, so that the network is in the file only once.
        @tf.function(input_signature=[_FLOAT])
        def predict(images):
            scores = upsampled_scores(network, images, stride, *settings)
            probabilities = tf.nn.softmax(scores)
            if crf is not None:
                levels = tf.saturate_cast(tf.round(images), tf.uint8)
                probabilities = dense_crf(probabilities, levels, crf, engine="lattice")
            labels = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
            return {"labels": tf.cast(labels, tf.uint8), "probabilities": probabilities}

        self._predict = predict

    @tf.function(input_signature=[_FLOAT])
    def serve_float(self, images):
        return self._predict(images)

    @tf.function(input_signature=[_UINT8])
    def serve_uint8(self, images):
        return self._predict(tf.cast(images, tf.float32))

    @tf.function(input_signature=[_BYTES])
    def serve_encoded(self, image_bytes):
        image = tf.TensorSpec([None, None, 3], tf.uint8)
        images = tf.map_fn(decode_in_graph, image_bytes, fn_output_signature=image)
        return self._predict(tf.cast(images, tf.float32))
