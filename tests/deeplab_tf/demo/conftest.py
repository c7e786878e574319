"""A running page for the tests that use one, and a photograph for it."""

import importlib.util

import numpy as np
import pytest
from demo_client import running_demo, save_color_network

from deeplab_tf.visualize import encode_picture


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """`deeplab-tf demo` with a network of the classes red, green and blue."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip('needs Gradio: pip install "deeplab-tf[demo]"')
    folder = tmp_path_factory.mktemp("demo")
    network = save_color_network(folder / "colors")
    with running_demo(f"--model={network}", "--max_side=300", cwd=folder) as running:
        yield running


@pytest.fixture(scope="session")
def photograph(tmp_path_factory):
    """A file of 400x300 pixels: red on the left, green on the right, each with noise."""
    image = np.empty((300, 400, 3), int)
    image[:, :203], image[:, 203:] = (150, 100, 60), (100, 150, 60)
    noise = np.random.default_rng(0).integers(-70, 71, image.shape)
    path = tmp_path_factory.mktemp("photographs") / "red and green.png"
    path.write_bytes(encode_picture((image + noise).astype(np.uint8)))
    return path
