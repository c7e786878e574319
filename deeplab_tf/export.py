"""Export a trained network as a SavedModel, which TensorFlow serves without this package."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from crf import CRFParams, dense_crf
from deeplab_tf.data.served_files import decode_files
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation.inference import check_settings, most_probable, upsampled_scores
from deeplab_tf.files import new_folder, write_file
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.files import is_saved_model
from deeplab_tf.models.resize import find_output_stride

SETTINGS_FILE = "settings.json"  # absent in exports of older versions


def export_saved_model(
    model,
    path,
    label_set,
    crf=None,
    scales=(1.0,),
    flip=False,
    overwrite=False,
    pad_to=None,
    image_size=None,
):
    """Write a network, and optionally the CRF, as a SavedModel.

    Its signatures take a batch of images of one size, any height and width:

        serving_default   images: float32 (B, H, W, 3) RGB, values 0..255
        uint8             images: uint8 (B, H, W, 3) RGB
        encoded           image_bytes: strings (B,), the contents of JPEG or PNG files, which are
                          turned by their EXIF orientation, as viewers show them

    and each gives `labels`, uint8 (B, H, W), and `probabilities`, float32 (B, H, W, C), as
    `segment` computes them. `assets/labels.json` holds the classes' names and colors, and
    `assets/settings.json` the settings, with the parameters of the CRF or null. What cannot be
    served, such as files of different sizes in one batch, is an `InvalidArgumentError` that
    names it. A model of images with C channels takes (B, H, W, C), and has no "encoded".

    With `image_size`, the shapes are fixed, (1, height, width, 3), as converters to TensorFlow
    Lite and ONNX need them; "encoded" is left out, which they cannot convert.

    The graph runs on every machine, but is optimized for the kind of machine that exports it: to
    serve on GPUs, export on a machine with a GPU; to serve on CPUs, on one without.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, of any size to scores.
      path: folder to write; it appears only when it is complete.
      label_set: `LabelSet` of the model's classes.
      crf: `crf.CRFParams` of the fully connected CRF to apply after the network; None: no CRF.
      scales, flip, pad_to: as in `deeplab_tf.evaluation.inference.predict_probabilities`.
      overwrite: whether to replace an existing folder.
      image_size: (height, width) in pixels of the one image in each call; None: any batch and size.

    Raises:
      InputError: if `path` exists and is not empty (without `overwrite`), the number of classes
        differs from the model's, or a setting is out of range.

    Example:
      >>> export_saved_model(model, "served", LabelSet.load("model_dir/labels.json"))
      >>> serve = tf.saved_model.load("served").signatures["uint8"]
      >>> serve(images=image[None])["labels"]
    """
    check_settings(scales, flip, pad_to=pad_to)
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise InputError(f"image_size {image_size!r}; give (height, width) in pixels, or None")
    num_classes = model.output_shape[-1]
    if label_set.num_classes != num_classes:
        raise InputError(
            f"{label_set.num_classes} class names for a model of {num_classes} classes;"
            " give one name for each class"
        )
    with new_folder(path, overwrite) as folder, tempfile.TemporaryDirectory() as assets:
        labels_path = Path(assets) / "labels.json"
        label_set.save(labels_path)
        served = tf.Module()
        served.labels = tf.saved_model.Asset(str(labels_path))
        settings_path = Path(assets) / SETTINGS_FILE
        settings = {"scales": scales, "flip": flip, "pad_to": pad_to}
        settings["crf"] = asdict(crf) if isinstance(crf, CRFParams) else None  # others are refused
        write_file(settings_path, (json.dumps(settings, indent=1) + "\n").encode())
        served.settings = tf.saved_model.Asset(str(settings_path))
        # Track only the variables: for a tracked model, Keras would add its own graphs to the file.
        served.weights = [variable.value for variable in model.variables]
        signatures = _signatures(model, crf, (scales, flip, pad_to), image_size)
        tf.saved_model.save(served, str(folder), signatures)


def open_saved_model(path):
    """Open a SavedModel that `export_saved_model` wrote.

    Args:
      path: its folder.

    Returns:
      (`ServedModel`, `LabelSet`).

    Raises:
      InputError: if the folder cannot be read, or holds another kind of SavedModel.
    """
    try:
        if not is_saved_model(path):
            raise InputError("no saved_model.pb")
        served = ServedModel(path)
        label_set = LabelSet.load(Path(path) / "assets" / "labels.json")
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: not a SavedModel written by the export command ({one_line(error)});"
            " export it again"
        ) from error
    return served, label_set


class ServedModel:
    """A SavedModel that `export_saved_model` wrote, as a function.

    Args:
      path: its folder.

    Attributes:
      channels: of the images that it takes.
      source: what its probabilities are of, see `deeplab_tf.evaluation.probability_files.SOURCES`;
        "export" if it is of an older version, which does not say.

    Example:
      >>> label = ServedModel("served")(image)  # (H, W, 3) uint8 to (H, W) uint8
    """

    def __init__(self, path):
        self._path = path
        self._served = tf.saved_model.load(str(path))  # owns the variables of the signature
        self._signature = self._served.signatures["uint8"]
        self._shape = self._signature.structured_input_signature[1]["images"].shape
        self.channels = self._shape[-1]
        settings_path, self.source = Path(path) / "assets" / SETTINGS_FILE, "export"
        if settings_path.is_file():
            settings = json.loads(settings_path.read_text("utf-8"))
            self.source = "crf" if settings["crf"] else "network"

    def __call__(self, image, max_side=None):
        """The labels (H, W) uint8 of an image (H, W, channels) uint8; see `probabilities`."""
        return most_probable(self.probabilities(image, max_side), image.shape[:2])

    def probabilities(self, image, max_side=None):
        """The probabilities (h, w, C) float32 of an image, (h, w) the size that it is scored at.

        Args:
          image: the image.
          max_side: see `deeplab_tf.segment`.

        Raises:
          InputError: if the image has other channels, or another size than that of the export.
        """
        batch = tf.constant(shrink(image, max_side)[None])
        if not self._shape.is_compatible_with(batch.shape):
            raise InputError(
                f"image of shape {batch.shape[1:]}, but {self._path} takes {self._shape[1:]}; give "
                "such images, or export without --image_size for images of any size"
            )
        return self._signature(images=batch)["probabilities"][0].numpy()


def _signatures(model, crf, settings, image_size):
    """The functions to save, by the names that servers call them by."""
    stride, channels = find_output_stride(model), model.input_shape[-1]
    batch = [None, None, None, channels] if image_size is None else [1, *image_size, channels]
    # Converters have their own ways of fusing, and choose algorithms for another machine.
    network = fuse(model, portable=True) if image_size is None else model

    # One graph that all signatures call, so that the network is in the file only once.
    @tf.function(input_signature=[tf.TensorSpec(batch, tf.float32, "images")])
    def predict(images):
        probabilities = tf.nn.softmax(upsampled_scores(network, images, stride, *settings))
        if crf is not None:
            levels = tf.saturate_cast(tf.round(images[..., :3]), tf.uint8)
            probabilities = dense_crf(probabilities, levels, crf, engine="lattice")
        labels = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"labels": tf.cast(labels, tf.uint8), "probabilities": probabilities}

    @tf.function(input_signature=[tf.TensorSpec(batch, tf.float32, "images")])
    def serve_float(images):
        return predict(images if image_size else _not_empty(images))

    @tf.function(input_signature=[tf.TensorSpec(batch, tf.uint8, "images")])
    def serve_uint8(images):
        return predict(tf.cast(images if image_size else _not_empty(images), tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve_encoded(image_bytes):
        return predict(tf.cast(decode_files(image_bytes), tf.float32))

    signatures = {"serving_default": serve_float, "uint8": serve_uint8}
    if image_size is None and channels == 3:
        signatures["encoded"] = serve_encoded
    return signatures


def _not_empty(images):
    """The images, after an assertion that there are some."""
    message = tf.strings.format(
        "images of shape {} are empty; send at least one image", tf.shape(images)
    )
    check = tf.debugging.Assert(tf.reduce_all(tf.shape(images) > 0), [message])
    with tf.control_dependencies([check]):
        return tf.identity(images)
