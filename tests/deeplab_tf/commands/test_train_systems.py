"""The published systems' options of tools/train.py, two steps each on a tiny data set."""

import re

import absl.flags
import keras
import numpy as np
import pytest
from small_backbones import small_backbones
from tool_runner import run_tool

from deeplab_tf import build_deeplab
from deeplab_tf.commands.flags import network
from deeplab_tf.commands.flags.start import define_start_flags
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.class_weights import balanced_weights
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.synthetic import CLASSES, write_synthetic
from deeplab_tf.models.weights import read_weights

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = [
    "--backbone=vgg16",  # has the fewest layers to trace
    "--head=large_fov",
    "--fc_channels=8",
    "--weights=none",
    "--learning_rate=1e-3",
    "--batch_size=2",
    "--crop_size=33",
    "--steps=2",
    "--eval_images=0",
]


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=4, num_val=2, size=(128, 128))
    return folder


def train(data_dir, model_dir, *flags):
    return run_tool("train", f"--data_dir={data_dir}", f"--model_dir={model_dir}", *TINY, *flags)


def load(model_dir):
    return keras.saving.load_model(model_dir / "last.keras", safe_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["authors", "own"])
def test_three_scales_in_parts(data_dir, tmp_path, sizes):
    flags = ["--scales=1,0.75,0.5", f"--branch_labels={sizes}", "--accumulate=2"]
    done = train(data_dir, tmp_path / "m", *flags)
    assert done.status == 0, done.err
    model = load(tmp_path / "m")
    assert model.name.endswith("_multiscale")
    assert model(np.zeros((1, 33, 33, 3), "float32")).shape == (1, 5, 5, len(CLASSES))


@pytest.mark.parametrize(
    "flags",
    [
        ["--objective=em_adapt", "--foreground_portion=0.1", "--background_portion=0.5"],
        pytest.param(["--objective=mil"], marks=pytest.mark.slow),
        pytest.param(["--objective=partial"], marks=pytest.mark.slow),
        pytest.param(["--objective=mil", "--crf_train"], marks=pytest.mark.slow),
        pytest.param(["--objective=em_adapt", "--crf_train"], marks=pytest.mark.slow),
    ],
)
def test_weak_supervision(data_dir, tmp_path, flags):
    done = train(data_dir, tmp_path / "m", *flags)
    assert done.status == 0, done.err
    assert all(np.isfinite(weight).all() for weight in load(tmp_path / "m").get_weights())


def test_no_step_saves_the_network_as_it_starts(data_dir, tmp_path):
    start = build_deeplab("vgg16", "large_fov", len(CLASSES), weights=None, fc_channels=8)
    start.save(tmp_path / "start.keras")
    flags = [f"--init_from={tmp_path / 'start.keras'}", "--steps=0"]
    done = train(data_dir, tmp_path / "m", *flags)
    assert done.status == 0, done.err
    assert "training is complete: 0 of 0 steps" in done.out
    for a, b in zip(start.get_weights(), load(tmp_path / "m").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert {"run.json", "labels.json"} <= {path.name for path in (tmp_path / "m").iterdir()}


@pytest.mark.slow
def test_a_start_without_the_class_layers(data_dir, tmp_path):
    start = build_deeplab("vgg16", "large_fov", len(CLASSES), weights=None, fc_channels=8)
    start.set_weights([weight + 1 for weight in start.get_weights()])  # unlike any new network
    start.save(tmp_path / "start.keras")
    flags = [f"--init_from={tmp_path / 'start.keras'}", "--drop_classes", "--steps=0"]
    done = train(data_dir, tmp_path / "m", *flags)
    assert done.status == 0, done.err
    assert "layers copied; left as they were: fc8" in done.out
    model = load(tmp_path / "m")
    same = {
        name: np.array_equal(start.get_layer(name).kernel, model.get_layer(name).kernel)
        for name in ("block1_conv1", "fc6", "fc7", "fc8")
    }
    assert same == {"block1_conv1": True, "fc6": True, "fc7": True, "fc8": False}


@pytest.mark.slow
def test_class_scores_start_from_an_imagenet_classifier(weights, msrc21, tmp_path):
    file = weights / "efficientnet_lite0_keras.weights.h5"
    flags = ["--flagfile=msrc21_mil", "--steps=0", f"--weights={file}"]
    place = f"--data_dir={msrc21}", f"--model_dir={tmp_path / 'm'}"
    done = run_tool("train", *place, *flags)
    assert done.status == 0, done.err
    assert "(how many): building (12), cow (1), sheep (2), aeroplane (2), " in done.out
    assert "from all others: grass, tree, sky, face, road\n" in done.out
    kernel = load(tmp_path / "m").get_layer("fc8").kernel
    cow = read_weights("efficientnetlite0", file).class_layer[0][:, 345]
    np.testing.assert_allclose(kernel[0, 0, :, 3], cow, rtol=1e-6)


@pytest.mark.slow
def test_class_weights(data_dir, tmp_path):
    done = train(data_dir, tmp_path / "m", "--class_weights=median_frequency", "--accumulate=2")
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("class weights: ")]
    examples = open_dataset("voc", data_dir, "train")[0]
    weights = balanced_weights("median_frequency", examples, len(CLASSES))
    pairs = zip(CLASSES, weights, strict=True)
    assert line == "class weights: " + ", ".join(f"{name} {weight:.4g}" for name, weight in pairs)
    plain = train(data_dir, tmp_path / "n", "--accumulate=2")
    assert losses(done) != losses(plain) and len(losses(plain)) == 1


def losses(done):
    """What a training shows of its loss."""
    return re.findall(r"loss [\d.]+", done.err)


@pytest.mark.slow
def test_start_from_a_network_of_other_classes(data_dir, tmp_path):
    start = build_deeplab("vgg16", "large_fov", 3, weights=None, fc_channels=8)
    start.save(tmp_path / "start.keras")
    flags = [f"--init_from={tmp_path / 'start.keras'}", "--train_layers=^fc8"]
    done = train(data_dir, tmp_path / "m", *flags)
    assert done.status == 0, done.err
    assert "not copied, shapes differ: fc8" in done.out
    model = load(tmp_path / "m")
    for layer in start.layers:
        if layer.weights and layer.name != "fc8":
            for a, b in zip(
                layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(a, b)
    assert np.abs(model.get_layer("fc8").get_weights()[1]).max() > 0  # the bias starts at zero


@pytest.mark.slow
def test_multi_scale_features_alone_are_trained(data_dir, tmp_path):
    options = {"weights": None, "fc_channels": 8, "pool_size": 3}
    start = build_deeplab("vgg16", "large_fov", len(CLASSES), **options)
    start.save(tmp_path / "start.keras")
    flags = ["--pool_size=3", "--multi_scale_features", f"--init_from={tmp_path / 'start.keras'}"]
    done = train(data_dir, tmp_path / "m", *flags, "--train_layers=^(msf_|fc8)")
    assert done.status == 0, done.err
    model = load(tmp_path / "m")
    np.testing.assert_array_equal(
        model.get_layer("fc7").get_weights()[0], start.get_layer("fc7").get_weights()[0]
    )
    assert model.get_layer("fc8").kernel.shape[2] == 8 + 640


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("option", ["fixed_upsampling", "scaled_skips", "released_padding"])
def test_options_reach_the_fcn(monkeypatch, option, given):
    monkeypatch.setattr(network, "build_fcn", lambda *_, **options: options)
    values = absl.flags.FlagValues()
    network.define_architecture_flags(values)
    define_start_flags(values)
    flag = [f"--fcn_{option}"] if given else []
    parse_flags(values, ["--network=fcn", "--backbone=vgg16", *flag])
    assert network.build_network(values, 3)[option] == given


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--scales=1,half"], "--scales=1,half; give numbers above 0"),
        (["--branch_labels=own"], "--branch_labels has no effect with one scale"),
        (["--accumulate=3"], "a batch of 2 cannot be split into 3 equal micro-batches"),
        (["--train_layers=^nothing"], "no layer's name matches '^nothing'; available:"),
        (["--train_layers=("], "is not a regular expression"),
        (
            ["--objective=mil", "--foreground_portion=0.1"],
            "--foreground_portion has no effect without --objective=em_adapt",
        ),
        (["--network=fcn"], "--head has no effect on --network=fcn"),
        (["--fcn_stride=16"], "--fcn_stride has no effect without --network=fcn"),
        (["--fcn_fixed_upsampling"], "--fcn_fixed_upsampling has no effect without --network=fcn"),
        (["--init_from=absent.keras"], "no model absent.keras"),
        (["--drop_classes"], "--drop_classes has no effect without --init_from; leave it out"),
        (["--shared_classes"], "--shared_classes needs the ImageNet classifier, not --weights=n"),
        (["--shared_classes", "--init_from=a"], "needs the ImageNet classifier, not --init_from"),
        (["--shared_classes", "--objective=depth"], "--shared_classes is for classes; leave it or"),
        (["--class_weights=1,2"], "--class_weights: 2 class weights for 7 classes; give one for"),
        (["--class_weights=1,1,1,1,1,1,-1"], "--class_weights: class weights (1.0, 1.0,"),
        (["--class_weights=balanced"], "--class_weights=balanced: give inverse_frequency or medi"),
        (["--class_weights=1,2", "--objective=mil"], "--class_weights has no effect with --obj"),
    ],
)
def test_flags_that_do_not_go_together(data_dir, tmp_path, flags, said):
    done = train(data_dir, tmp_path / "m", *flags)
    assert said in done.error
    assert not (tmp_path / "m").exists()
