"""The multi-scale features of DeepLab v1 against a computation by hand."""

import re

import keras
import numpy as np
import pytest

from deeplab_tf import build_deeplab
from deeplab_tf.models.multi_scale_features import NEW_LAYERS


@pytest.fixture(scope="module")
def model():
    options = {"fc_channels": 8, "use_multi_scale_features": True}
    return build_deeplab("vgg16", "large_fov", 2, weights=None, **options)


@pytest.mark.parametrize("size", [(33, 41), (40, 39)])
def test_every_branch_is_two_layers_centred_on_the_cells(model, size):
    names = ["preprocessing", *(f"block{block}_pool" for block in (1, 2, 3, 4))]
    taps = keras.Model(
        model.input, [model.get_layer(name).output for name in (*names, "msf_features")]
    )
    image = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype("float32")
    *maps, found = (np.array(x[0]) for x in taps(image))
    cells = tuple((length - 1) // 8 + 1 for length in size)
    assert found.shape == (*cells, 640)
    branches = ("image", "pool1", "pool2", "pool3", "pool4")
    for index, (name, stride) in enumerate(zip(branches, (8, 4, 2, 1, 1), strict=True)):
        kernel, bias = model.get_layer(f"msf_{name}_conv1").get_weights()
        padded = np.pad(maps[index], ((1, 1), (1, 1), (0, 0)))
        i, j = 2, 3  # one cell inside, and the last ones, which see the padding
        for row, column in ((i, j), (cells[0] - 1, cells[1] - 1)):
            top, left = stride * row, stride * column
            window = padded[top : top + 3, left : left + 3]
            hidden = np.maximum(np.tensordot(window, kernel, 3) + bias, 0)
            kernel2, bias2 = model.get_layer(f"msf_{name}_conv2").get_weights()
            expected = np.maximum(hidden @ kernel2[0, 0] + bias2, 0)
            part = found[row, column, 128 * index : 128 * (index + 1)]
            np.testing.assert_allclose(part, expected, atol=1e-4 * max(1, expected.max()))


def test_the_classifier_sees_fc7_and_640_channels(model):
    assert model.get_layer("fc8").kernel.shape == (1, 1, 8 + 640, 2)


def test_the_new_layers_are_named(model):
    new = {layer.name for layer in model.layers if re.search(NEW_LAYERS, layer.name)}
    assert {layer.name for layer in model.layers if "msf" in layer.name} | {"fc8"} == new
