"""Networks to start trainings from, by name: downloaded and converted, but not to be applied."""

import keras
import numpy as np
import pytest
from file_server import server
from tool_runner import run_tool

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models import is_start, load_model, start_from
from deeplab_tf.models.released import converted
from deeplab_tf.models.released.imported import Imported
from deeplab_tf.pretrained.released import STARTS

assert server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def small_network(backbone, head, num_classes):
    """A backbone of one layer, image pooling and the class layer, with our names."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(2, 1, name="entry_conv1", use_bias=False)(images)
    y = keras.layers.GlobalAveragePooling2D(keepdims=True, name="image_pooling")(x)
    y = keras.layers.Conv2D(2, 1, name="image_pooling_conv", use_bias=False)(y)
    return keras.Model(images, keras.layers.Conv2D(num_classes, 1, name="fc8")(y))


@pytest.mark.parametrize("whole", [False, True])
def test_a_network_to_start_from(server, cache, tmp_path, monkeypatch, whole):
    """Without the class layer, and without the head if the file has none."""

    def read(path, backbone, head, num_classes, drop_classes):
        assert (backbone, head, drop_classes) == ("xception65", "v3plus", True)
        model = small_network(backbone, head, num_classes)
        model.set_weights([*kernels, *model.get_weights()[2:]])
        missing = ("fc8",) if whole else ("image_pooling_conv", "fc8")
        return Imported(model, {}, (), missing)

    kernels = [np.full((1, 1, n, 2), n, np.float32) for n in (3, 2)]
    server.data = b"tar"
    monkeypatch.setattr(converted, "import_tensorflow", read)
    name = "xception65_coco"
    monkeypatch.setitem(STARTS, name, STARTS[name]._replace(url=server.url))
    model = small_network("", "", 5)
    before = model.get_layer("image_pooling_conv").get_weights()[0]
    for _ in range(2):
        started = start_from(model, name)
    assert started.copied == ["entry_conv1", "image_pooling_conv"][: 1 + whole]
    assert started.absent == ["image_pooling_conv", "fc8"][whole:] and not started.reshaped
    np.testing.assert_array_equal(model.get_layer("entry_conv1").get_weights()[0], kernels[0])
    pooled = model.get_layer("image_pooling_conv").get_weights()[0]
    np.testing.assert_array_equal(pooled, kernels[1] if whole else before)
    assert server.ranges == [None]
    files = sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())
    assert files == ["SHA256SUMS", "tiny.tar.gz", f"{name}/best.keras"]
    assert is_start(name)
    (tmp_path / name).mkdir()
    assert not is_start(name)


def test_a_network_to_start_from_is_none_to_apply(cache):
    name = "xception65_imagenet"
    with pytest.raises(InputError, match="no model xception65_imagenet; "):
        load_model(name)
    text = run_tool("models", name).out
    file = "deeplabv3_xception_2018_01_04.tar.gz"
    assert text.startswith(f"{name}: xception65, trained on ImageNet; no classes, to start from: ")
    assert f"  file: https://download.tensorflow.org/models/{file}, about 447 MB\n" in text
    assert f"\n\n{text}" in run_tool("models").out
    with pytest.raises(InputError, match="give --init_from=xception65_imagenet, which downloads "):
        build_deeplab("xception65", "v3plus")
    backbones = "xception41", "xception65", "xception71", "resnet101beta"
    assert {f"{backbone}_imagenet" for backbone in backbones} < {*STARTS}
    assert not cache.exists()
