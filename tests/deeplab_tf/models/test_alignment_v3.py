"""Networks of v3 and v3+ on the authors' backbones: their sizes, and where their cells lie."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf import build_deeplab
from deeplab_tf.models.heads import score_stride

CONVOLUTIONS = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
pytestmark = pytest.mark.slow  # building a network takes seconds


@functools.lru_cache
def network(backbone, head, output_stride=16):
    """A random network of 2 classes; tests may change its weights."""
    return build_deeplab(backbone, head, 2, output_stride, weights=None)


@pytest.fixture(scope="module", autouse=True)
def _forget_networks():
    yield
    network.cache_clear()


def texture(height, width):
    return np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype("float32")


@pytest.mark.parametrize(
    ("backbone", "head", "output_stride"),
    [
        ("mobilenetv2half", "v3plus_mobile", 16),
        ("mobilenetv2half", "v3_mobile", 16),
        ("mobilenetv2", "v3plus_mobile", 8),
        ("mobilenetv2", "v3plus", 16),
        ("xception41", "v3plus", 16),
        ("xception65", "v3plus", 8),
        ("xception71", "aspp_v3", 16),
        ("resnet101beta", "v3plus", 16),
    ],
)
def test_cells_are_centered_on_their_pixels(backbone, head, output_stride):
    """Centered windows with symmetric kernels turn a mirrored image into a mirrored map."""
    model = network(backbone, head, output_stride)
    for layer in model.layers:
        if isinstance(layer, CONVOLUTIONS):
            first, *others = layer.get_weights()
            layer.set_weights([(first + first[:, ::-1]) / 2, *others])
    stride, width = score_stride(head, output_stride), 65  # a cell is on the last pixel
    for height in (64, 65, 70):
        image = texture(height, width)
        plain, mirrored = (np.array(model(x)) for x in (image, image[:, :, ::-1]))
        assert plain.shape == (1, (height - 1) // stride + 1, (width - 1) // stride + 1, 2)
        scale = np.abs(plain).max()
        np.testing.assert_allclose(mirrored[:, :, ::-1], plain, atol=1e-3 * scale)
        assert np.abs(mirrored - plain).max() > 1e-2 * scale  # it is no constant map


@pytest.mark.parametrize("head", ["v3_mobile", "v3plus_mobile"])
def test_a_shift_by_a_cell_of_the_backbone(head):
    """By four cells of the decoder; compared beyond the reach of the borders.

    Image pooling is the one part that sees the borders from everywhere, so it is a constant here.
    """
    model = network("mobilenetv2half", head)
    pooling = model.get_layer("image_pooling_conv")
    pooling.set_weights([0 * pooling.get_weights()[0]])
    image, score = texture(721, 737), tf.function(model)
    first, moved = (np.array(score(x)) for x in (image[:, 16:, 16:], image[:, :-16, :-16]))
    step = 16 // score_stride(head, 16)
    far = 20 * step
    inside = slice(far, first.shape[1] - far), slice(far, first.shape[2] - far)
    behind = tuple(slice(part.start + step, part.stop + step) for part in inside)
    scale = np.abs(first).max()
    np.testing.assert_allclose(first[0][inside], moved[0][behind], atol=1e-5 * scale)
    assert np.abs(first[0][inside] - moved[0][inside]).max() > 1e-3 * scale
