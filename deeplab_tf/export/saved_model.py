"""Export a trained network as a SavedModel, which TensorFlow serves without this package."""

import tempfile
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.export.description import KEY, Description, describe_export
from deeplab_tf.export.graph import check_crf_options, check_export
from deeplab_tf.export.served_checks import check_limits
from deeplab_tf.export.signatures import build_signatures
from deeplab_tf.export.warmup import write_warmup
from deeplab_tf.files import new_folder, write_file
from deeplab_tf.labels import LabelSet

DESCRIPTION = f"{KEY}.json"  # in the folder of assets


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
    max_side=None,
    suited_crf=None,
    max_pixels=None,
    served_max_side=None,
    depth_input=None,
    crf_options=None,
):
    """Write a network, and optionally the CRF, as a SavedModel.

    Its signatures take a batch of images of one size, any height and width:

        serving_default   images: float32 (B, H, W, 3) RGB, values 0..255
        uint8             images: uint8 (B, H, W, 3) RGB
        encoded           image_bytes: strings (B,), the contents of JPEG or PNG files, which are
                          turned by their EXIF orientation, as viewers show them

    and each gives `labels`, uint8 (B, H, W), and `probabilities`, float32 (B, H, W, C), as
    `segment` computes them; a network with several score heads `HEAD_labels` and
    `HEAD_probabilities` for each, and no PNG files. Smaller answers have

        labels_only       as uint8, but gives `labels` alone
        encoded_png       as encoded, but gives `png_bytes`: strings (B,), the contents of PNG files
                          of the labels; the files may have different sizes

    With a CRF, `uint8_crf` and `encoded_png_crf` are like `uint8` and `encoded_png` and also take
    `w1`, `sigma_alpha`, `sigma_beta`, `w2`, `sigma_gamma` and `iterations`, one number for all
    images or one for each; a server fills in those that are left out.

    `assets/labels.json` holds the classes' names and colors, and `assets/deeplab_tf.json` what
    `deeplab_tf.open_model` needs, see `Description`; `assets.extra` a request for each signature,
    with which TensorFlow Serving warms up. What cannot be served, such as files of different sizes
    in one batch, NaN, or values from 0 to 1, is an `InvalidArgumentError` that names it. A model of
    images with C channels takes (B, H, W, C), and has no signatures for files.

    With `image_size`, the shapes are fixed, (1, height, width, 3), as converters to TensorFlow
    Lite and ONNX need them; only `serving_default` and `uint8` are there, and they check nothing,
    because converters know neither strings nor assertions.

    A network for depth gives `depth` instead, see `ServedDepth`.

    The graph runs on every machine, but is optimized for the kind of machine that exports it: to
    serve on GPUs, export on a machine with a GPU; to serve on CPUs, on one without.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, of any size to scores.
      path: folder to write; it appears only when it is complete.
      label_set: `LabelSet` of the model's classes; `HeadLabels` of several score heads; None for a
        network for depth.
      crf: `crf.CRFParams` of the fully connected CRF to apply after the network; None: no CRF.
      scales, flip, pad_to: as in `deeplab_tf.evaluation.inference.predict_probabilities`.
      overwrite: whether to replace an existing folder.
      image_size: (height, width) in pixels of the one image in each call; None: any batch and size.
      max_side: longer side in pixels at which photographs are best scored, for the description.
      suited_crf: without `crf`, `CRFParams` for the description.
      max_pixels: largest number of pixels of an image; larger ones are refused. None: no limit.
      served_max_side: an image with a longer side is reduced to this many pixels there, as
        `segment` does with `max_side`; None: no limit.
      depth_input: as in `export_model`.
      crf_options: dict of options of `crf.dense_crf` for the graph: `prune_below` saves most of the
        CRF's time if images show few classes, `max_memory` and `overlap` bound its memory for
        large images, and `engine` is "lattice", if it is not given, or "xla", if the graph is
        going to be compiled with XLA.

    Raises:
      InputError: if `path` exists and is not empty (without `overwrite`), the number of classes
        differs from the model's, or a setting is out of range or cannot be used with the CRF.

    Example:
      >>> export_saved_model(model, "served", LabelSet.load("model_dir/labels.json"))
      >>> serve = tf.saved_model.load("served").signatures["uint8"]
      >>> serve(images=image[None])["labels"]
    """
    check_export(model, label_set, scales, flip, pad_to, image_size)
    limits = {"max_pixels": max_pixels, "max_side": served_max_side}
    check_limits(limits, image_size)
    settings = scales, flip, pad_to
    description = describe_export(
        model,
        label_set,
        crf or suited_crf,
        settings,
        has_crf=crf is not None,
        image_size=image_size,
        depth_input=depth_input,
        max_side=max_side,
        limits=limits,
    )
    crf_options = check_crf_options(crf, crf_options, model.output_shape[-1], image_size)
    with new_folder(path, overwrite) as folder, tempfile.TemporaryDirectory() as assets:
        if label_set is not None:
            label_set.save(Path(assets) / "labels.json")
        write_file(Path(assets) / DESCRIPTION, description.to_json().encode())
        served = tf.Module()
        served.assets = [tf.saved_model.Asset(str(file)) for file in Path(assets).iterdir()]
        # Track only the variables: for a tracked model, Keras would add its own graphs to the file.
        served.weights = [variable.value for variable in model.variables]
        options = {**limits, "crf_options": crf_options}
        signatures = build_signatures(model, crf, settings, image_size, **options)
        tf.saved_model.save(served, str(folder), signatures)
        write_warmup(folder, signatures, crf, max_pixels)


def read_description(path):
    """The `Description` of a SavedModel that `export_saved_model` wrote.

    Args:
      path: its folder.

    Raises:
      InputError: if the folder holds another kind of SavedModel, or a damaged one.
    """
    file = Path(path) / "assets" / DESCRIPTION
    if file.is_file():
        return Description.from_json(file.read_text(encoding="utf-8"))
    labels = file.with_name("labels.json")
    if not labels.is_file():
        raise InputError(f"it has no assets/{DESCRIPTION}")
    # Older versions wrote only the classes; the signature tells the kind of images.
    signature = tf.saved_model.load(str(path)).signatures["uint8"]
    *size, channels = signature.structured_input_signature[1]["images"].shape[1:]
    return Description(
        classes=asdict(LabelSet.load(labels)),
        stride=None,
        input={"channels": channels, "size": size if all(size) else None},
        has_crf=None,
    )


def open_runner(path, num_threads=None):
    """Load a SavedModel that `export_saved_model` wrote.

    Args:
      path: its folder.
      num_threads: has no effect; TensorFlow has its own settings of threads.

    Returns:
      Function of an image (1, H, W, channels) uint8 and a tuple of names of outputs, to a list of
      these outputs for the image: probabilities (H, W, C) float32, labels (H, W) uint8, or depth
      (H, W) float32.
    """
    served = tf.saved_model.load(str(path))
    all_outputs = served.signatures["uint8"]
    # Exports of one size, and those of older versions, have none of labels alone.
    labels_only = served.signatures.get("labels_only", all_outputs)

    def run(images, names):
        _ = served  # owns the variables of the signatures
        is_labels = all(name.endswith("labels") for name in names)
        found = (labels_only if is_labels else all_outputs)(images=tf.constant(images))
        return [found[name][0].numpy() for name in names]

    return run
