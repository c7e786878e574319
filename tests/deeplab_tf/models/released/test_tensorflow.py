"""The v3 and v3+ authors' networks: imported, they give the scores of a direct computation."""

import re

import keras
import numpy as np
import pytest
import slim_network
import tensorflow as tf
from PIL import Image
from port_writer import write_port
from slim_network import SlimNetwork, assert_scores, write_checkpoint, write_graph, write_tar

from deeplab_tf.errors import InputError
from deeplab_tf.models.authors_backbones import ResNet101Beta, Xception71
from deeplab_tf.models.released import tensorflow as released
from deeplab_tf.models.released.tensorflow import import_tensorflow, scope_of
from deeplab_tf.models.resize import resize_aligned


def mobile(multiplier):
    """A random MobileNetV2 network, and the scores of its image."""
    net = SlimNetwork()
    x = slim_network.mobilenet_v2(net, slim_network.colors(), multiplier)
    return net, slim_network.head(net, x, 5)


@pytest.fixture(scope="module")
def half():
    return mobile(0.5)


@pytest.fixture(scope="module")
def imported(half, tmp_path_factory):
    """The half MobileNetV2 from a tar with a checkpoint."""
    folder = tmp_path_factory.mktemp("half")
    files = write_checkpoint(folder / "model.ckpt", half[0].variables | {"stray": np.ones(2, "f4")})
    write_tar(folder / "half.tar.gz", {f"net/{file.name}": file for file in files})
    return import_tensorflow(folder / "half.tar.gz")


def test_half_a_mobilenet_from_a_tar(half, imported):
    assert_scores(imported.model, half[1])
    assert (imported.backbone, imported.head) == ("mobilenetv2half", "v3_mobile")
    assert (imported.unused, imported.missing) == (("stray",), ())
    assert imported.used["block_3_expand_BN"] == ("MobilenetV2/expanded_conv_3/expand",)
    assert len(imported.used) == 109


@pytest.fixture
def quick(imported, monkeypatch):
    """Import into that network, with the same values, instead of building one for each test."""
    monkeypatch.setattr(released, "build_deeplab", lambda *_, **__: imported.model)


def graph(tmp_path, variables):
    write_graph(tmp_path / "graph.pb", variables)
    return tmp_path / "graph.pb"


def test_folded_normalization_only_adds_its_bias(half, quick, tmp_path):
    """As in quantized files: the same scores from kernels and biases alone."""
    variables = dict(half[0].variables)
    for name in [name for name in variables if name.endswith("/gamma")]:
        scope = name.removesuffix("/BatchNorm/gamma")
        gamma, beta, mean, variance = (
            variables.pop(f"{scope}/BatchNorm/{part}")
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        body = scope.startswith("MobilenetV2")
        factor = gamma / np.sqrt(variance + (slim_network.BODY if body else slim_network.HEAD))
        kernel = f"{scope}/weights"
        if kernel in variables:
            variables[kernel] = variables[kernel] * factor
        else:
            kernel = f"{scope}/depthwise_weights"
            variables[kernel] = variables[kernel] * factor[:, None]
        variables[f"{scope}/biases"] = beta - mean * factor
    assert_scores(import_tensorflow(graph(tmp_path, variables)).model, half[1])


def test_a_file_of_the_keras_port(half, quick, tmp_path):
    """The same scores from the port's file; its layers are reported by the port's names."""
    write_port(tmp_path / "port.h5", half[0].variables | {"stray/weights": np.ones(2, "f4")})
    done = import_tensorflow(tmp_path / "port.h5")
    assert_scores(done.model, half[1])
    assert (done.backbone, done.head) == ("mobilenetv2half", "v3_mobile")
    assert (done.unused, done.missing) == (("stray/kernel",), ())
    assert done.used["block_3_expand_BN"] == ("expanded_conv_3_expand_BN",)
    assert done.used["fc8"] == ("logits_semantic",)
    variables = {name: x for name, x in half[0].variables.items() if "aspp0" not in name}
    write_port(tmp_path / "port.h5", variables)
    refused(tmp_path / "port.h5", "has no pyramid pooling of DeepLab v3")
    refused(tmp_path / "none.h5", "no such file; give a checkpoint")


def refused(path, *needles, **options):
    with pytest.raises(InputError) as error:
        import_tensorflow(path, **options)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    for needle in needles:
        assert needle in message, message


def test_files_of_other_networks(half, quick, tmp_path):
    variables = half[0].variables
    path = graph(tmp_path, variables)
    refused(path, "has 5 classes, expected 21", num_classes=21)
    refused(path, "its backbone is mobilenetv2half, not xception65", backbone="xception65")
    refused(path, "its head is v3_mobile, not v3plus", head="v3plus")
    graph(tmp_path, {"conv1/kernel": np.ones((3, 3, 3, 8), "f4")})
    refused(path, "none of its 1 variables is of a backbone that can be imported; available: mob")
    body = {name: x for name, x in variables.items() if name.startswith("MobilenetV2")}
    graph(tmp_path, body)
    refused(path, "has no pyramid pooling of DeepLab v3; to train from its backbone alone, give")
    graph(tmp_path, {n: x for n, x in variables.items() if not n.startswith("logits")})
    refused(path, "has no class layer logits/semantic")
    name = "MobilenetV2/expanded_conv_3/expand/weights"
    graph(tmp_path, variables | {name: variables[name][..., :-1]})
    refused(
        path, "the variables of MobilenetV2/expanded_conv_3/expand have shapes [(1, 1, 12, 71)]"
    )


def test_the_channels_tell_which_half_of_a_mobilenet_it_is(half, quick, tmp_path):
    """slim's ImageNet classifiers have 16 channels in block 1, the DeepLab authors 12."""
    name = "MobilenetV2/expanded_conv_1/project/weights"
    assert half[0].variables[name].shape == (1, 1, 48, 12)
    path = graph(tmp_path, half[0].variables | {name: np.ones((1, 1, 48, 16), "f4")})
    message = "its backbone is mobilenetv2halfrounded, not mobilenetv2half; leave it out"
    refused(path, message, backbone="mobilenetv2half")


def test_parts_that_are_missing_are_reported(half, quick, tmp_path):
    variables = dict(half[0].variables)
    del variables["aspp0/BatchNorm/beta"]
    done = import_tensorflow(graph(tmp_path, variables))
    assert done.missing == ("aspp0_bn",)
    names = ("gamma", "moving_mean", "moving_variance")
    assert set(done.unused) == {f"aspp0/BatchNorm/{name}" for name in names}


def test_class_layers_dropped_to_train_on(half, quick, tmp_path):
    path = graph(tmp_path, half[0].variables)
    done = import_tensorflow(path, num_classes=5, drop_classes=True)
    assert done.missing == ("fc8",)
    assert done.unused == ("logits/semantic/weights", "logits/semantic/biases")
    with pytest.raises(InputError, match="drop_classes needs num_classes"):
        import_tensorflow(path, drop_classes=True)
    body = {n: x for n, x in half[0].variables.items() if n.startswith("MobilenetV2")}
    graph(tmp_path, body)
    done = import_tensorflow(path, head="v3_mobile", num_classes=5, drop_classes=True)
    assert {re.sub("_(conv|bn)$", "", name) for name in done.missing} == {
        *("image_pooling", "aspp0", "concat_projection", "fc8")
    }


def test_the_kind_of_convolutions_is_found(half, quick, tmp_path):
    """Separable ones or not, but not in a head that has none, and not in ImageNet classifiers."""
    names = {
        "aspp1/weights": ("aspp_v3", False),
        "aspp1_depthwise/depthwise_weights": ("aspp_v3", True),
        "aspp0/other": ("v3_mobile", None),
        "decoder/decoder_conv0_depthwise/depthwise_weights": ("v3plus_mobile", True),
        "decoder/decoder_conv0/decoder_conv0_1/weights": ("v3plus_mobile", False),
    }
    for name, (head, separable) in names.items():
        path = graph(tmp_path, half[0].variables | {name: np.ones(1, "f4")})
        done = import_tensorflow(path)
        assert (done.head, done.separable_convolutions) == (head, separable)
    body = {n: x for n, x in half[0].variables.items() if n.startswith("MobilenetV2")}
    done = import_tensorflow(graph(tmp_path, body), None, "aspp_v3", 5, drop_classes=True)
    assert (done.head, done.separable_convolutions) == ("aspp_v3", None)


def test_scopes_of_the_layers():
    names = {
        "Conv1": "r/Conv",
        "bn_Conv1": "r/Conv",
        "expanded_conv_depthwise_BN": "r/expanded_conv/depthwise",
        "block_16_project": "r/expanded_conv_16/project",
        "entry_conv1_bn": "r/entry_flow/conv1_1",
        "entry2_unit1_sep2_pointwise": (
            "r/entry_flow/block2/unit_1/xception_module/separable_conv2_pointwise"
        ),
        "exit1_unit1_shortcut_bn": "r/exit_flow/block1/unit_1/xception_module/shortcut",
        "conv1_3_bn": "r/conv1_3",
        "block3_unit23_conv2": "r/block3/unit_23/bottleneck_v1/conv2",
        "aspp2_depthwise_bn": "aspp2_depthwise",
        "decoder_projection_conv": "decoder/feature_projection0",
        "decoder2_pointwise_conv": "decoder/decoder_conv1_pointwise",
        "decoder2_conv": "decoder/decoder_conv0/decoder_conv0_2",
        "fc8": "logits/semantic",
        "predictions": None,
    }
    assert {name: scope_of(name, "r") for name in names} == names


@pytest.mark.slow
@pytest.mark.parametrize("build", [Xception71, ResNet101Beta])
def test_every_layer_has_a_scope_of_its_own(build):
    with keras.StatelessScope(initialize_variables=False):
        layers = [x for x in build(weights=None, include_top=False).layers if x.weights]
    keras.backend.clear_session()
    scopes = [scope_of(layer.name, "r") for layer in layers]
    assert None not in scopes
    assert len(set(scopes)) == len(layers) / 2  # a convolution and its normalization


@pytest.mark.slow
def test_mobilenet_from_a_checkpoint(tmp_path):
    net, expected = mobile(1.0)
    write_checkpoint(tmp_path / "model.ckpt", net.variables)
    done = import_tensorflow(tmp_path, "mobilenetv2", "v3_mobile", 5)
    assert_scores(done.model, expected)
    assert (done.unused, done.missing) == ((), ())


def interpreter(path):
    """A function from uint8 images of 513x513 to the labels of TensorFlow Lite's interpreter."""
    kinds = tf.lite.experimental.OpResolverType
    runner = tf.lite.Interpreter(
        str(path), experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    runner.allocate_tensors()

    def run(images):
        runner.set_tensor(runner.get_input_details()[0]["index"], images)
        runner.invoke()
        return runner.get_tensor(runner.get_output_details()[0]["index"])

    return run


def pairs(folder):
    """Images padded to 513x513 with grey, and their labels padded with void."""
    for path in sorted((folder / "JPEGImages").glob("*.jpg")):
        colors = np.asarray(Image.open(path).convert("RGB"))
        labels = np.asarray(Image.open(folder / "SegmentationClass" / f"{path.stem}.png"))
        missing = [(0, 513 - length) for length in labels.shape]
        padded = np.pad(colors, (*missing, (0, 0)), constant_values=128)
        yield padded[None], np.pad(labels, missing, constant_values=255)[None]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_the_quantized_mobilenet_of_the_authors(weights, voc_pairs):
    """Its labels, and how often they are right."""
    path = weights / "deeplabv3_mnv2_pascal_quant.tflite"
    run, models = interpreter(path), {}
    for resize in ("interpreter", "trained"):
        done = import_tensorflow(path, tflite_resize=resize)
        models[resize] = done.model
        assert (done.backbone, done.head) == ("mobilenetv2", "v3_mobile")
        assert (done.unused, done.missing) == ((), ())
        assert "multiplies the result of image_pooling by 2.83" in done.notes[0]
    right = dict.fromkeys(("theirs", *models), 0)
    agreeing = labeled = images = 0
    for colors, labels in pairs(voc_pairs):
        found = {"theirs": run(colors)}
        for resize, model in models.items():
            scores = resize_aligned(model(np.float32(colors)), 513, 513)
            found[resize] = np.argmax(scores, axis=-1)
        agreeing += (found["interpreter"] == found["theirs"]).mean()
        for name, map_ in found.items():
            right[name] += (map_ == labels).sum()
        labeled += (labels != 255).sum()
        images += 1
    accuracy = {name: count / labeled for name, count in right.items()}
    print(f"agreement {agreeing / images:.4f}, pixel accuracy {accuracy}")
    assert agreeing / images > 0.97
    assert abs(accuracy["interpreter"] - accuracy["theirs"]) < 0.01
    assert abs(accuracy["interpreter"] - 0.896) < 0.01
    assert accuracy["trained"] > accuracy["theirs"] + 0.02
