"""OpenVINO's models, an .xml and a .bin file: written by its converter, run by its CPU plug-in."""

import functools
import logging

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.export.description import KEY, Description
from deeplab_tf.export.extras import import_extra

EXTRA = "openvino"


def write(saved_model, description, path, calibration=None):
    """Write the network of a SavedModel; the description becomes an entry of `rt_info`.

    Args:
      saved_model: folder of the graph of `convertible_graph`.
      description: `Description`.
      path: the .xml file to write; the .bin file comes beside it.
      calibration: list of images (H, W, channels) uint8 to quantize with; None: float32.

    Raises:
      InputError: if a package is missing.
    """
    openvino = import_extra("openvino", EXTRA)
    model = openvino.convert_model(saved_model)
    if calibration is not None:
        model = _quantized(model, calibration)
    model.set_rt_info(description.to_json(), [KEY])
    # 16-bit weights would change the scores of a float32 network.
    openvino.save_model(model, path, compress_to_fp16=False)


def _quantized(model, calibration):
    """The model with the convolutions in 8 bits.

    What comes after the scores stays float32, since probabilities need more than 256 values.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    nncf = import_extra("nncf", EXTRA)
    data = nncf.Dataset(calibration, lambda image: image[None].astype(np.float32))
    after = nncf.IgnoredScope(types=["Interpolate", "Softmax", "Maximum"], validate=False)
    return nncf.quantize(
        model,
        data,
        preset=nncf.QuantizationPreset.MIXED,  # activations need not be symmetric around 0
        subset_size=len(calibration),
        ignored_scope=after,
    )


def read_description(path):
    """The `Description` in a file; `InputError` if there is none."""
    model = _read(import_extra("openvino", EXTRA).Core(), path)
    if not model.has_rt_info([KEY]):
        raise InputError(f"its rt_info has no {KEY!r}")
    return Description.from_json(model.get_rt_info([KEY]).astype(str))


def _read(core, path):
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"its weights, {path.with_suffix('.bin').name}, are missing beside it")
    return core.read_model(path)


def open_runner(path, num_threads):
    """Load a file that `write` wrote.

    Args:
      path: the .xml file.
      num_threads: number of processor threads.

    Returns:
      Function of an image (1, H, W, channels) uint8 and a tuple of names of outputs, to a list of
      these outputs for the image: probabilities (H, W, C) float32, labels (H, W) uint8, or depth
      (H, W) float32.
    """
    openvino = import_extra("openvino", EXTRA)
    core = openvino.Core()
    # On processors with bfloat16, OpenVINO would otherwise compute in it.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": num_threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = _read(core, path)

    @functools.cache
    def request(names):
        # All outputs of a model are computed, so this is one of the wanted outputs alone.
        results = [model.output(name).get_node().input_value(0) for name in names]
        chosen = openvino.Model(results, model.get_parameters())
        return core.compile_model(chosen, "CPU", settings).create_infer_request()

    def run(images, names):
        found = request(names)
        found.infer({"images": images.astype(np.float32)})
        # The runtime uses the memory of the outputs again.
        return [found.get_output_tensor(i).data[0].copy() for i in range(len(names))]

    return run
