"""ONNX files: written by tf2onnx, run by ONNX Runtime."""

import logging

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.export.description import KEY, Description
from deeplab_tf.export.extras import import_extra

EXTRA = "onnx"
_OPSET = 17  # of 2022; the first one with all that the graph needs in every runtime of since then


def write(predict, description, path):
    """Write the graph of a network; the description becomes a property of the metadata.

    Args:
      predict: what `convertible_graph` gave.
      description: `Description`.
      path: the file to write.

    Raises:
      InputError: if a package is missing.
    """
    onnx, tf2onnx = import_extra("onnx", EXTRA), import_extra("tf2onnx", EXTRA)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(
        predict, input_signature=predict.input_signature, opset=_OPSET
    )
    model.metadata_props.add(key=KEY, value=description.to_json())
    onnx.save_model(model, path)


def read_description(path):
    """The `Description` in a file; `InputError` if there is none."""
    onnx = import_extra("onnx", EXTRA)
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's errors have no class that all its versions share
        raise InputError(f"damaged, cut off, or not an ONNX file ({error})") from error
    texts = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not texts:
        raise InputError(f"its metadata have no {KEY!r}")
    return Description.from_json(texts[0])


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
    runtime = import_extra("onnxruntime", EXTRA)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3  # errors
    # Images differ in size, so that a plan of the memory for one would be made again for each.
    options.enable_mem_pattern = False
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    only_needed = runtime.RunOptions()
    only_needed.only_execute_path_to_fetches = True  # no probabilities for labels alone

    def run(images, names):
        inputs = {"images": images.astype(np.float32)}
        return [found[0] for found in session.run(list(names), inputs, only_needed)]

    return run
