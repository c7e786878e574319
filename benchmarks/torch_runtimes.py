"""How PyTorch's networks are run for deployment, for torch_worker.py; needs torch alone.

Each function takes a module and a batch of images, and returns a function from images to the
module's result. `ImportError` if the runtime's package is not installed.
"""

import contextlib
import sys
import tempfile

import torch


def eager(module, images):
    """PyTorch's usual way."""
    return module


def compiled(module, images):
    """`torch.compile` with its default settings."""
    return torch.compile(module)


def openvino(module, images):
    """OpenVINO, converted from the traced module, in float32."""
    import openvino

    model = openvino.convert_model(module, example_input=images)
    model.reshape(list(images.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    run = openvino.compile_model(model, "CPU", settings)
    return lambda images: run(images.numpy())[0]


def onnxruntime(module, images):
    """ONNX Runtime, exported through ONNX."""
    import onnxruntime
    import onnxscript  # noqa: F401, which torch.onnx needs

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/network.onnx"  # the weights may be in a second file beside it
        with contextlib.redirect_stdout(sys.stderr):  # the export prints; answers go to stdout
            torch.onnx.export(module, (images,), path, input_names=["images"], dynamo=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images.numpy()})[0]


RUNTIMES = {
    "eager": eager,
    "compile": compiled,
    "openvino": openvino,
    "onnxruntime": onnxruntime,
}
