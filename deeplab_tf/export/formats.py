"""The formats of exported networks, and writing a network in one of them."""

import contextlib
import functools
import tempfile
from pathlib import Path

import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import check_image
from deeplab_tf.export import litert_file, onnx_file, openvino_file, saved_model
from deeplab_tf.export.description import describe_export
from deeplab_tf.export.float_layers import check_float_layers, parts_of_layers
from deeplab_tf.export.graph import check_export, convertible_graph
from deeplab_tf.files import check_new_file, whole_files
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.models.files import EXPORTED

SAVED_MODEL = "saved_model"
MODULES = {  # what reads and writes each of them
    SAVED_MODEL: saved_model,
    "onnx": onnx_file,
    "openvino": openvino_file,
    "litert": litert_file,
}
FORMATS = tuple(MODULES)
QUANTIZED = ("openvino", "litert")  # the formats that can be quantized


def format_for(path, given=None):
    """The format to write to a path.

    Args:
      path: the file or folder.
      given: one of `FORMATS`; None: that of the ending, and a SavedModel for others.

    Raises:
      InputError: if the path does not end as files of the format must.
    """
    ending = Path(path).suffix
    by_ending = EXPORTED.get(ending, SAVED_MODEL)
    if given in (None, by_ending):
        return by_ending
    endings = {name: suffix for suffix, name in EXPORTED.items()}
    wanted = f"a name that ends in {endings[given]}" if given in endings else "a folder's name"
    raise InputError(f"{path}: for the format {given}, give {wanted}")


def output_files(path):
    """The files that an export of the formats with files writes, the one that is opened last."""
    path = Path(path)
    return [path.with_suffix(".bin"), path] if EXPORTED.get(path.suffix) == "openvino" else [path]


def export_model(
    model,
    path,
    label_set,
    crf=None,
    scales=(1.0,),
    flip=False,
    overwrite=False,
    pad_to=None,
    image_size=None,
    format=None,
    calibration=None,
    max_side=None,
    suited_crf=None,
    max_pixels=None,
    served_max_side=None,
    depth_input=None,
    crf_options=None,
    int8_except=(),
):
    """Write a trained network in a format of another runtime.

    The file takes `images`, float32 (B, H, W, 3) RGB, values 0..255, and gives `labels`, uint8
    (B, H, W), and `probabilities`, float32 (B, H, W, C), as `segment` computes them; a network with
    several score heads gives `HEAD_labels` and `HEAD_probabilities` for each, and one for depth
    `depth`, float32 (B, H, W), as `predict_depth` does. Class names and CRF parameters are in the
    file, too; `deeplab_tf.open_model` reads all.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, of any size to scores.
      path: .onnx, .xml (OpenVINO, with a .bin file beside it) or .tflite file (LiteRT), or the
        folder of a SavedModel. It appears when it is complete.
      label_set: `LabelSet` of the model's classes; `HeadLabels` of several score heads; None for a
        network for depth.
      crf: `crf.CRFParams`: a SavedModel computes this CRF in its graph; in the other formats the
        parameters come along for `open_model(path).crf`.
      scales, flip, pad_to: as in `deeplab_tf.evaluation.inference.predict_probabilities`.
      overwrite: whether to replace what exists.
      image_size: (height, width) in pixels of the only images that it takes; None: any.
      format: one of `FORMATS`; None: that of the ending of `path`.
      calibration: list of training images (H, W, 3) uint8, of `image_size` if that is given: the
        network is quantized to 8 bits with the ranges of values that these images give (OpenVINO
        and LiteRT); None: float32.
      max_side: longer side in pixels at which photographs are best scored, for the description.
      suited_crf: without `crf`, the parameters that come along.
      max_pixels, served_max_side: of a SavedModel, as in `export_saved_model`.
      depth_input: for a network of color and depth, {"input": "rgbd", "hha" or "rgb_hha"} and
        "camera", the text of a `Camera`, for the description.
      crf_options: of the CRF in the graph of a SavedModel, as for `export_saved_model`.
      int8_except: names of convolutions of the model that stay float32 among those in 8 bits, for
        LiteRT.

    Raises:
      InputError: if a setting cannot be used, `path` exists, or a package is missing.

    Example:
      >>> export_model(model, "model.onnx", LabelSet.load("model_dir/labels.json"))
      >>> label = deeplab_tf.segment(deeplab_tf.open_model("model.onnx"), image)
    """
    format = format_for(path, format)
    check_quantization(format, calibration, model.input_shape[-1], image_size)
    if calibration is not None and predicts_depth(model):
        raise InputError("8 bits are for networks for classes; export depth in float32")
    if int8_except and (format != "litert" or calibration is None):
        raise InputError(
            "int8_except is for 8 bits in the format litert; OpenVINO's converter keeps no "
            "names of layers; leave it out, or export to litert with calibration"
        )
    check_float_layers(model, int8_except)
    settings = scales, flip, pad_to
    if format == SAVED_MODEL:
        more = overwrite, pad_to, image_size, max_side, suited_crf, max_pixels, served_max_side
        more = *more, depth_input, crf_options
        saved_model.export_saved_model(model, path, label_set, crf, scales, flip, *more)
        return
    if max_pixels is not None or served_max_side is not None:
        raise InputError(f"max_pixels and served_max_side are for {SAVED_MODEL}, not {format}")
    if crf_options:
        raise InputError(
            f"{', '.join(crf_options)}: are for SavedModels, which compute the CRF; give them "
            f"where it is applied to the probabilities of {path}"
        )
    check_export(model, label_set, *settings, image_size)
    for file in output_files(path):
        check_new_file(file, overwrite)
    description = describe_export(
        model,
        label_set,
        crf or suited_crf,
        settings,
        image_size=image_size,
        depth_input=depth_input,
        max_side=max_side,
        precision="float32" if calibration is None else "int8",
    )
    batch = 1 if format == "litert" else None
    predict = convertible_graph(model, settings, image_size, batch)
    with contextlib.ExitStack() as stack:
        *_, partial = stack.enter_context(whole_files(output_files(path)))
        if format == "onnx":
            onnx_file.write(predict, description, partial)
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        _save_graph(predict, model, folder)
        more = [functools.partial(parts_of_layers, int8_except)] if int8_except else []
        MODULES[format].write(folder, description, partial, calibration, *more)


def check_quantization(format, calibration, channels, image_size):
    """Raise `InputError` if a network cannot be quantized with these images.

    Args:
      format: one of `FORMATS`.
      calibration: list of images, or None.
      channels: of the images that the network takes.
      image_size: (height, width) in pixels of the only images that it takes; None: any.
    """
    if calibration is None:
        return
    if format not in QUANTIZED:
        raise InputError(
            f"8 bits are for the formats {' and '.join(QUANTIZED)}, not {format}; export to one of "
            "them, or in float32"
        )
    if not calibration:
        raise InputError("no calibration images; give some of those that the network learned from")
    for image in calibration:
        check_image(image, channels)
        if image_size is not None and image.shape[:2] != tuple(image_size):
            raise InputError(
                f"calibration image of shape {image.shape}, but only images of "
                f"{'x'.join(map(str, image_size))} pixels are taken; resize it"
            )


def _save_graph(predict, model, folder):
    """Save a graph as a SavedModel, which converters read; they make constants of the weights."""
    saved = tf.Module()
    saved.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(saved, str(folder), {"serving_default": predict})
