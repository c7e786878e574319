"""Imported networks against NumPy, which computes what Caffe would with the same file."""

import keras
import numpy as np
import pytest
from caffe_writer import CaffeNetwork, blob, bytes_field, convolve, layer, pool, relu
from small_backbones import BLOCKS, small_backbones

from deeplab_tf.errors import InputError
from deeplab_tf.models import build_deeplab, import_caffemodel
from deeplab_tf.models.released import caffe as import_caffe
from deeplab_tf.models.released.caffe import _backbone_sources, _batch_norm
from deeplab_tf.models.released.caffemodel import CaffeLayer

AUTHORS_MEAN_BGR = (104.008, 116.669, 122.675)


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


def image(size):
    return np.random.default_rng(5).integers(0, 256, (size, size, 3)).astype(np.float32)


def caffe_input(rgb):
    """(3, H, W): BGR minus the mean, as the authors feed their networks."""
    return rgb.astype(np.float64)[..., ::-1].transpose(2, 0, 1) - np.reshape(
        AUTHORS_MEAN_BGR, (3, 1, 1)
    )


def vgg16(net, data, copies=(), narrow_pool1=False):
    """The authors' VGG-16 up to pool5, and the first four poolings."""
    x, pools = data, []
    for block, filters, count in BLOCKS:
        rate = 2 if block == 5 else 1
        for number in range(1, count + 1):
            name = f"conv{block}_{number}"
            x = relu(net.conv(name, x, filters, 3, pad=rate, rate=rate, copies=copies))
            copies = ()
        size = 2 if narrow_pool1 and block == 1 else 3
        x = net.pool(f"pool{block}", x, size, 2 if block < 4 else 1, 1)
        pools.append(x)
    return x, pools[:4]


def fully_connected(net, x, end="", size=3, pad=12, rate=12, filters=16, classes=5):
    x = relu(net.conv(f"fc6{end}", x, filters, size, pad=pad, rate=rate))
    x = relu(net.conv(f"fc7{end}", x, filters, 1))
    return net.conv(f"fc8_voc12{end}", x, classes, 1)


def assert_scores(found, expected):
    """Within 1e-4 of the largest score."""
    found = np.asarray(found)[0].transpose(2, 0, 1)
    assert found.shape == expected.shape
    assert np.std(expected) > 0.1 * np.abs(expected).max()  # not all alike
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture
def file(tmp_path):
    """Where to write a large file, which is deleted after the test."""
    path = tmp_path / "train2_iter_20000.caffemodel"
    yield path
    path.unlink()


def test_caffes_pooling_by_hand():
    x = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_array_equal(pool(x, 3, 2, 1)[0], [[5, 7, 7], [13, 15, 15], [13, 15, 15]])
    np.testing.assert_array_equal(pool(x[:, :3, :3], 3, 2, 1)[0], [[5, 6], [9, 10]])
    mean = pool(np.ones((1, 3, 3)), 3, 1, 1, average=True)[0] * 9
    np.testing.assert_allclose(mean, [[4, 6, 4], [6, 9, 6], [4, 6, 4]])
    ones = convolve(np.ones((1, 3, 3)), np.ones((1, 1, 3, 3)), 2, 2, 1)[0]
    np.testing.assert_array_equal(ones, [[4, 2, 4], [2, 1, 2], [4, 2, 4]])


def test_large_fov_of_v1(file):
    net = CaffeNetwork(old=True)
    x, _ = vgg16(net, caffe_input(image(41)))
    x = net.pool("pool5a", x, 3, 1, 1, average=True)
    expected = fully_connected(net, x)
    done = import_caffemodel(net.write(file), "vgg16", "large_fov")
    assert_scores(done.model.predict(image(41)[None], verbose=0), expected)
    assert (done.unused, done.missing) == ((), ())
    assert done.used["block3_conv2"] == ("conv3_2",)
    assert done.used["fc8"] == ("fc8_voc12",)
    assert len(done.used) == 16


def test_aspp_of_v2_with_copies_for_other_scales(file):
    net = CaffeNetwork()
    x, _ = vgg16(net, caffe_input(image(33)), copies=("conv1_1_res075", "conv1_1_res05"))
    branches = enumerate((6, 12, 18, 24), 1)
    expected = sum(
        fully_connected(net, x, f"_{number}", pad=rate, rate=rate) for number, rate in branches
    )
    net.note("stray", "Convolution", [np.ones((2, 2, 1, 1))])
    path = net.write(file)
    done = import_caffemodel(path, "vgg16", "aspp_l", num_classes=5)
    assert_scores(done.model(image(33)[None]), expected)
    assert (done.unused, done.missing) == (("stray",), ())
    assert done.used["fc6_rate18"] == ("fc6_3",)
    refused(lambda: import_caffemodel(path, "vgg16", "aspp_s"), path, "dilation rate 6", "has 2")
    refused(
        lambda: import_caffemodel(path, "vgg16", "large_fov"),
        path,
        "4 class layers",
        "with 1 branches",
    )
    refused(
        lambda: import_caffemodel(path, "vgg16", "aspp_l", 21), path, "has 5 classes, expected 21"
    )


@pytest.fixture(scope="module")
def multi_scale_features(tmp_path_factory):
    """DeepLab-MSc of v1, 4x4 and rate 4: the file, and its scores for the image of 33 pixels."""
    net = CaffeNetwork(old=True, seed=3)
    data = caffe_input(image(33))
    x, pools = vgg16(net, data)
    expected = fully_connected(net, x, size=4, pad=6, rate=4)
    taps = {"data": (data, 8), "pool1": (pools[0], 4), "pool2": (pools[1], 2)}
    taps |= {"pool3": (pools[2], 1), "pool4": (pools[3], 1)}
    for name, (tap, stride) in taps.items():
        y = relu(net.conv(f"{name}_conv", tap, 128, 3, pad=1, stride=stride))
        y = relu(net.conv(f"{name}_fc", y, 128, 1))
        expected = expected + net.conv(f"{name}_ms", y, 5, 1)
    path = net.write(tmp_path_factory.mktemp("caffe") / "msc.caffemodel")
    yield path, expected
    path.unlink()


@pytest.mark.slow
def test_multi_scale_features_of_v1(multi_scale_features):
    path, expected = multi_scale_features
    done = import_caffemodel(path, "vgg16", "4x4")
    assert_scores(done.model(image(33)[None]), expected)
    assert (done.unused, done.missing) == ((), ())
    assert done.used["fc8"] == ("fc8_voc12", "data_ms", *(f"pool{n}_ms" for n in (1, 2, 3, 4)))
    refused(lambda: import_caffemodel(path, "vgg16", "4x4_fov"), path, "dilation rate 4", "has 8")
    refused(lambda: import_caffemodel(path, "vgg16", "7x7"), path, "fc6", "(16, 16, 4, 4)")


def test_class_layers_dropped_to_train_on(multi_scale_features):
    path, _ = multi_scale_features
    done = import_caffemodel(path, "vgg16", "4x4", num_classes=2, drop_classes=True)
    assert done.missing == ("fc8",)
    assert done.unused == ("fc8_voc12", "data_ms", *(f"pool{n}_ms" for n in (1, 2, 3, 4)))
    assert done.model.output_shape[-1] == 2


def resnet101(net, data, classes=21):
    """The authors' ResNet-101 with ASPP, one scale; some of the other scales' copies are noted."""

    def unit(name, x, filters, size, gain, **window):
        place = name.removeprefix("res")
        x = net.conv(name, x, filters, size, bias=False, **window)
        bn, scale = ("bn_", "scale_") if name == "conv1" else ("bn", "scale")
        return net.scale(scale + place, net.batch_norm(bn + place, x, factor=999.98), gain)

    def block(name, x, filters, stride, rate):
        inner = relu(unit(f"{name}_branch2a", x, filters, 1, 1.0, stride=stride))
        inner = relu(unit(f"{name}_branch2b", inner, filters, 3, 1.0, pad=rate, rate=rate))
        inner = unit(f"{name}_branch2c", inner, 4 * filters, 1, 0.25)
        if name.endswith("a"):
            x = unit(f"{name}_branch1", x, 4 * filters, 1, 1.0, stride=stride)
        return relu(x + inner)

    x = relu(unit("conv1", data, 64, 7, 1.0, pad=3, stride=2))
    x = net.pool("pool1", x, 3, 2, 1)
    stages = (("a", "b", "c"), ("a", "b1", "b2", "b3"))
    stages += (("a", *(f"b{n}" for n in range(1, 23))), ("a", "b", "c"))
    for stage, blocks in enumerate(stages, 2):
        for name in blocks:
            stride = 2 if (stage, name) == (3, "a") else 1
            rate = {4: 2, 5: 4}.get(stage, 1)
            x = block(f"res{stage}{name}", x, 32 * 2 ** (stage - 1), stride, rate)
    scores = 0
    for index, rate in enumerate((6, 12, 18, 24)):
        names = [f"fc1_voc12{scale}_c{index}" for scale in ("", "_res05", "_res075")]
        scores = scores + net.conv(
            names[0], x, classes, 3, pad=rate, rate=rate, copies=tuple(names[1:])
        )
    return scores


@pytest.mark.slow
def test_resnet101(file):
    net = CaffeNetwork()
    expected = resnet101(net, caffe_input(image(41)))
    done = import_caffemodel(net.write(file), "resnet101", "aspp_l")
    assert_scores(done.model(image(41)[None]), expected)
    assert (done.unused, done.missing) == ((), ())
    assert done.used["conv1_bn"] == ("bn_conv1", "scale_conv1")
    assert done.used["conv4_block23_2_bn"] == ("bn4b22_branch2b", "scale4b22_branch2b")
    assert done.used["fc8_rate24"] == ("fc1_voc12_c3",)
    assert len(done.used) == 2 * (1 + 3 * 33 + 4) + 4


def test_resnet_layer_names_become_the_authors_names():
    names = {
        "conv1_conv": ("conv1",),
        "conv2_block1_0_conv": ("res2a_branch1",),
        "conv2_block3_1_bn": ("bn2c_branch2a", "scale2c_branch2a"),
        "conv3_block1_2_conv": ("res3a_branch2b",),
        "conv3_block4_3_conv": ("res3b3_branch2c",),
        "conv4_block2_1_conv": ("res4b1_branch2a",),
        "conv5_block2_2_conv": ("res5b_branch2b",),
        "fc8": (),
    }
    assert {name: _backbone_sources(name) for name in names} == names


def test_batch_norm_by_hand():
    ours = keras.layers.BatchNormalization(epsilon=0.5)
    norm = CaffeLayer("bn", (np.float32([8]), np.float32([12]), np.float32([4])), epsilon=0.25)
    scale = CaffeLayer("scale", (np.float32([3]), np.float32([7])))
    gamma, beta, mean, variance = _batch_norm("file", ours, [norm, scale])
    assert (beta, mean, variance) == (7, 2, 3)
    # 3 (x - 2) / sqrt(3 + 1/4) + 7, where Keras divides by sqrt(3 + 1/2)
    np.testing.assert_allclose(gamma, 3 * (3.5 / 3.25) ** 0.5)
    norm = norm._replace(blobs=(*norm.blobs[:2], np.float32([0])))
    _, _, mean, variance = _batch_norm("file", ours, [norm, scale])
    assert (mean, variance) == (0, 0)  # as in Caffe, if no statistics were gathered


@pytest.fixture(scope="module")
def narrow():
    """LargeFOV of 8 filters and 3 classes, with the authors' mean."""
    return build_deeplab(
        "vgg16", "large_fov", 3, weights=None, fc_channels=8, preprocessing="deeplab"
    )


def refused(action, *needles):
    with pytest.raises(InputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for needle in map(str, needles):
        assert needle in message, message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mobilenetv2"}, "no 'mobilenetv2'; available: vgg16, resnet101"),
        ({"backbone": "resnet101", "head": "7x7"}, "vgg16 only"),
        ({"backbone": "resnet101", "pool_size": 3}, "pool_size is an option of vgg16"),
        ({"drop_classes": True}, "drop_classes needs num_classes"),
        ({"head": "9x9"}, "unknown head"),
    ],
)
def test_options_are_checked_before_the_file(options, message):
    with pytest.raises(InputError, match=message):
        import_caffemodel("nowhere", **{"backbone": "vgg16", "head": "large_fov", **options})


def small_file(tmp_path, **arrays):
    path = tmp_path / "small.caffemodel"
    path.write_bytes(b"".join(layer(name, "Convolution", blobs) for name, blobs in arrays.items()))
    return path


def large_fov(path, **options):
    return import_caffemodel(path, "vgg16", "large_fov", **options)


@pytest.fixture
def quick(narrow, monkeypatch):
    """Import into the network of `narrow`, instead of building one for each test."""
    monkeypatch.setattr(import_caffe, "build_deeplab", lambda *_, **__: narrow)


CLASSES = [np.ones((3, 8, 1, 1)), np.ones(3)]


def test_scales_with_different_weights(tmp_path):
    other = [np.zeros((3, 8, 1, 1)), np.ones(3)]
    path = small_file(tmp_path, fc8_voc12=CLASSES, fc8_voc12_res05=other)
    refused(lambda: large_fov(path), path, "'fc8_voc12_res05' have different weights")


def test_layers_missing_in_the_file(tmp_path, quick):
    fc7 = [np.ones((8, 8, 1, 1))]
    done = large_fov(small_file(tmp_path, fc8_voc12=CLASSES, fc7=fc7, fc6_1=CLASSES))
    assert done.used == {"fc7": ("fc7",), "fc8": ("fc8_voc12",)}
    assert done.missing[0] == "block1_conv1" and done.missing[-1] == "fc6"
    assert len(done.missing) == 14
    assert done.unused == ("fc6_1",)
    kernel, bias = done.model.get_layer("fc7").get_weights()
    assert (kernel == 1).all() and (bias == 0).all()  # a convolution without bias


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("fc7", [np.ones((1, 1, 8, 8))], "8 filters of 1x1"),
        ("fc7", [np.ones((8, 9, 1, 1)), np.ones(8)], "needs [(1, 1, 8, 8), (8,)]"),
        ("fc7", [np.ones((8, 8, 1, 1)), np.ones(1)], "8 filters"),
        ("fc7", [np.ones(8)], "8 filters"),
        ("conv1_1", [np.ones((4, 1, 3, 3))], "needs [(3, 3, 3, 4), (4,)]"),
        ("fc8_other", CLASSES, "2 class layers (fc8_voc12, fc8_other)"),
    ],
)
def test_shapes_are_checked(tmp_path, quick, name, arrays, message):
    fc6 = [np.ones((8, 16, 3, 3))]
    path = small_file(tmp_path, **{"fc6": fc6, "fc8_voc12": CLASSES, name: arrays})
    refused(lambda: large_fov(path), path, message)


def test_no_class_layer(tmp_path):
    path = small_file(tmp_path, conv1_1=[np.ones((4, 3, 3, 3))])
    refused(lambda: large_fov(path), path, "0 class layers (none)")


def test_other_poolings(tmp_path, quick):
    net = CaffeNetwork()
    net.pool("pool1", np.zeros((1, 9, 9)), 2, 2, 1)
    net.note("fc8_pascal", "Convolution", CLASSES)
    net.note("fc6", "Convolution", [np.ones((8, 16, 3, 3))])
    path = net.write(tmp_path / "v1_plain.caffemodel")
    refused(
        lambda: large_fov(path), path, "a maximum of 2x2, stride 2, pad 1 in the file", "pool_size"
    )
    assert "fc8" in large_fov(path, pool_size=2).used


@pytest.fixture
def short_resnet(monkeypatch):
    """Import into a network of three of ResNet-101's layers and a class layer."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 7, name="conv1_conv")(images)
    x = keras.layers.BatchNormalization(name="conv1_bn")(x)
    x = keras.layers.Conv2D(4, 3, dilation_rate=2, name="conv4_block1_2_conv")(x)
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="fc8")(x))
    monkeypatch.setattr(import_caffe, "build_deeplab", lambda *_, **__: model)


def test_the_imagenet_resnet_is_a_start_and_nothing_else(tmp_path, short_resnet):
    net = CaffeNetwork()  # as released for ImageNet: no padding at pool1, no dilation
    x = net.conv("conv1", np.zeros((3, 9, 9)), 4, 7, pad=3, stride=2, bias=False)
    x = net.scale("scale_conv1", net.batch_norm("bn_conv1", x))
    net.conv("res4a_branch2b", net.pool("pool1", x, 3, 2, 0), 4, 3, pad=1, bias=False)
    net.note("fc1000", "Convolution", CLASSES)
    path = net.write(tmp_path / "ResNet-101-model.caffemodel")
    refused(
        lambda: import_caffemodel(path, "resnet101", "plain"),
        f"{path}: pool1 is a maximum of 3x3, stride 2, pad 0 in the file but a maximum of 3x3, "
        "stride 2, pad 1 in the authors' networks, so scores would differ; to start training "
        "from its weights, without the class layers, give drop_classes and num_classes",
    )
    done = import_caffemodel(path, "resnet101", "plain", num_classes=2, drop_classes=True)
    assert set(done.used) == {"conv1_conv", "conv1_bn", "conv4_block1_2_conv"}
    assert (done.missing, done.unused) == (("fc8",), ("fc1000",))


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "cut.caffemodel"
    contents = layer("fc8_voc12", "Convolution", CLASSES)
    path.write_bytes(contents[:-5])
    refused(lambda: large_fov(path), path, "truncated")
    path.write_bytes(bytes_field(100, bytes_field(7, blob(np.ones(3))[:-2])))
    refused(lambda: large_fov(path), path, "truncated")
