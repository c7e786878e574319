"""LiteRT (TensorFlow Lite) files: written by TensorFlow's converter, run by the LiteRT interpreter.

The description is a file in a zip archive at the end of the .tflite file, where TensorFlow Lite's
metadata keep associated files: `unzip -p MODEL.tflite deeplab_tf.json` prints it.
"""

import re
import warnings
import zipfile

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.export.description import KEY, Description
from deeplab_tf.export.extras import import_extra

EXTRA = "litert"
_MEMBER = f"{KEY}.json"
_MARK = b"TFL3"  # bytes 4 to 8 of every file of the format


def write(saved_model, description, path, calibration=None, in_float=None):
    """Write the network of a SavedModel.

    Args:
      saved_model: folder of the graph of `convertible_graph`.
      description: `Description`.
      path: the file to write.
      calibration: list of images (H, W, channels) uint8 to quantize with; None: float32.
      in_float: function from the names in the converted graph to those that stay float32; None:
        none of them.

    Raises:
      InputError: if LiteRT lacks an operation that the network needs.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    try:
        if calibration is None:
            contents = converter.convert()
        else:
            contents = _quantized(converter, calibration, in_float)
    except Exception as error:  # the converter's own class of errors is not public
        if "ERROR_NEEDS_FLEX_OPS" not in str(error):
            raise
        has_size = description.input["size"]
        remedy = "in another format" if has_size else "with --image_size (image_size in Python)"
        raise InputError(
            f"LiteRT lacks operations that this network needs ({_missing(error)}); export it "
            f"{remedy}"
        ) from None
    path.write_bytes(contents)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        # The same network gives the same bytes: ZipInfo's date is constant.
        archive.writestr(zipfile.ZipInfo(_MEMBER), description.to_json())


def _missing(error):
    """The names of the operations that the converter says are missing."""
    found = re.search(r"TF Select ops: (.*)", str(error))
    return found[1] if found else "unknown ones"


def _quantized(converter, calibration, in_float):
    """The contents of a file with the convolutions in 8 bits.

    What comes after the scores stays float32, since probabilities need more than 256 values.
    """

    def examples():
        for image in calibration:
            yield [image[None].astype(np.float32)]

    nodes = in_float(_tensor_names(converter.convert())) if in_float else []
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=[
            "RESIZE_BILINEAR",
            "SOFTMAX",
            "ARG_MAX",
            "MAXIMUM",
            "PAD",
            "PADV2",
            "MUL",
            "ADD",
            "SUB",
        ],
        denylisted_nodes=nodes,
    )
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=examples, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def _tensor_names(contents):
    """The names of the tensors in a file's contents, which are those of the operations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TensorFlow's own interpreter has a successor
        interpreter = tf.lite.Interpreter(model_content=contents)
    return [tensor["name"] for tensor in interpreter.get_tensor_details()]


def read_description(path):
    """The `Description` in a file; `InputError` if there is none."""
    with path.open("rb") as file:
        if file.read(8)[4:] != _MARK:
            raise InputError("damaged, or not a LiteRT file")
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(_MEMBER)
    except (zipfile.BadZipFile, KeyError):
        raise InputError(f"cut off, or it has no {_MEMBER} at its end") from None
    return Description.from_json(text)


def open_runner(path, num_threads):
    """Load a file that `write` wrote.

    Args:
      path: the file.
      num_threads: number of processor threads.

    Returns:
      Function of an image (1, H, W, channels) uint8 and a tuple of names of outputs, to a list of
      these outputs for the image: probabilities (H, W, C) float32, labels (H, W) uint8, or depth
      (H, W) float32.
    """
    module = import_extra("ai_edge_litert.interpreter", EXTRA)
    interpreter = module.Interpreter(model_path=str(path), num_threads=num_threads)
    (taken,) = interpreter.get_input_details()
    indices = _output_indices(interpreter)

    def run(images, names):
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images.astype(np.float32))
        interpreter.invoke()
        return [interpreter.get_tensor(indices[name])[0] for name in names]

    return run


def _output_indices(interpreter):
    """The numbers of the output tensors by their names."""
    named = interpreter.get_signature_runner("serving_default").get_output_details()
    return {name: details["index"] for name, details in named.items()}
