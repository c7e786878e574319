"""OpenVINO's models, an .xml and a .bin file: written by its converter, run by its CPU plug-in."""

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


def open_runner(path, num_threads, outputs=("probabilities",)):
    """Load a file that `write` wrote.

    Args:
      path: the .xml file.
      num_threads: number of processor threads.
      outputs: names of the probabilities, one for each score head; or `["depth"]`.

    Returns:
      Function from an image (1, H, W, channels) uint8 to probabilities (H, W, C) float32, or to
      depth (H, W).
    """
    openvino = import_extra("openvino", EXTRA)
    core = openvino.Core()
    # On processors with bfloat16, OpenVINO would otherwise compute in it.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": num_threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(_read(core, path), "CPU", settings).create_infer_request()

    def run(images):
        request.infer({"images": images.astype(np.float32)})
        found = [request.get_tensor(name).data[0] for name in outputs]
        return np.concatenate(found, axis=-1)

    return run
