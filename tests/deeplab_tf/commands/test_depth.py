"""The commands on color and depth: --input=rgbd, hha and rgb_hha."""

import json
import sys
from dataclasses import asdict

import cv2
import keras
import numpy as np
import pytest
from absl import flags as absl_flags
from fake_ray import FakeRay
from tiny_depth import CAMERA, scene, write_tiny_depth
from tiny_model import random_model
from tiny_nyu import write_nyu
from tool_runner import run_tool

import deeplab_tf
from deeplab_tf.commands import train
from deeplab_tf.commands.flags.start import start
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.runs import Run
from deeplab_tf.data.depth import Camera
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.inputs import input_image
from deeplab_tf.export import load_description
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import fuse_late

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_tiny_depth(tmp_path_factory.mktemp("depth") / "data")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, data_dir):
    """A network of six channels, and the run.json of a training with --input=rgb_hha."""
    folder = tmp_path_factory.mktemp("model")
    random_model(2, channels=6).save(folder / "best.keras")
    splits = {"train": {"list": "train", "images": 4}, "val": {"list": "val", "images": 2}}
    testing = {"input": "rgb_hha", "camera": str(Camera.parse(CAMERA))}
    classes = asdict(LabelSet.in_voc_colors(("near", "far")))
    Run("voc", str(data_dir), splits, {}, classes, testing, []).save(folder)
    return folder


def seen(seed):
    """What the network sees of a scene."""
    color, millimeters, _ = scene(seed)
    return input_image(color, np.float32(millimeters) / 1000, "rgb_hha", Camera.parse(CAMERA))


def test_the_check_reads_depth_and_the_next_command_repeats_it(data_dir):
    done = run_tool("check-data", f"--data_dir={data_dir}", "--input=rgb_hha")
    assert done.status == 0, done.out + done.err
    assert done.out.splitlines()[-1].endswith(" --input=rgb_hha")


@pytest.mark.slow
def test_evaluate_knows_the_input_of_the_training(data_dir, model_dir, tmp_path):
    scores = tmp_path / "scores.json"
    done = run_tool("evaluate", f"--model={model_dir}", f"--json_out={scores}")
    assert done.status == 0, done.err
    assert "--input=rgb_hha" in done.out
    model = deeplab_tf.load_model(model_dir)
    right = [deeplab_tf.segment(model, seen(seed)) == scene(seed)[2] for seed in (4, 5)]
    assert json.loads(scores.read_text())["pixel_accuracy"] == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_workers_of_ray_read_depth_too(data_dir, model_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    monkeypatch.chdir(data_dir.parent)
    scores = []
    for runner in ("local", "ray"):
        file = tmp_path / f"{runner}.json"
        words = f"--model={model_dir}", f"--data_dir={data_dir.name}", f"--json_out={file}"
        done = run_tool("evaluate", *words, f"--runner={runner}")
        assert done.status == 0, done.err
        scores.append(json.loads(file.read_text()))
    assert scores[0] == scores[1]


def test_predict_finds_the_depth_of_each_image(data_dir, model_dir, tmp_path):
    image = data_dir / "JPEGImages" / "4.png"
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'a'}", image)
    assert done.status == 0, done.err
    label = deeplab_tf.segment(deeplab_tf.load_model(model_dir), seen(4))
    np.testing.assert_array_equal(load_label(tmp_path / "a" / "4.png", 2), label)
    # A photograph from elsewhere, with the camera of the training images.
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "x.png"
    photo.write_bytes(image.read_bytes())
    words = f"--model={model_dir}", f"--out_dir={tmp_path / 'b'}", photo
    error = run_tool("predict", *words).error
    assert f"{tmp_path}/Depth/x.png: no such depth map" in error and "--depth_dir" in error
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "x.npy", np.float32(scene(4)[1]) / np.float32(1000))
    done = run_tool("predict", *words, f"--depth_dir={tmp_path / 'maps'}")
    assert done.status == 0, done.err
    np.testing.assert_array_equal(load_label(tmp_path / "b" / "x.png", 2), label)


def test_what_does_not_fit_is_refused(data_dir, model_dir, tmp_path):
    model, data = f"--model={model_dir}", f"--data_dir={data_dir}"
    error = run_tool("evaluate", model, "--input=rgbd").error
    assert "--input=rgbd gives images of 4 channels" in error and "takes 6" in error
    image = data_dir / "JPEGImages" / "4.png"
    error = run_tool("explain-crf", model, f"--out_dir={tmp_path}", image).error
    assert "--input=rgb_hha" in error and "use evaluate or predict" in error
    train = data, f"--model_dir={tmp_path / 'm'}", "--weights=none"
    error = run_tool("train", *train, "--input=rgbd", "--channels=4").error
    assert "--channels has no effect with --input=rgbd" in error
    error = run_tool("train", *train, "--input=hha", "--jitter=0.3").error
    assert "--jitter changes colors, but --input=hha has none" in error
    error = run_tool(
        "predict", model, "--input=rgb", "--camera=1,1,1,1", "--out_dir=o", image
    ).error
    assert "--camera has no effect without depth" in error
    error = run_tool("predict", model, "--runner=ray", "--out_dir=o", image).error
    assert "--input=rgb_hha: --runner=ray reads no depth maps" in error
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_an_export_knows_its_input(data_dir, model_dir, tmp_path):
    image, out = data_dir / "JPEGImages" / "5.png", tmp_path / "served"
    done = run_tool("export", f"--model={model_dir}", f"--out={out}")
    assert done.status == 0, done.err
    assert load_description(out).input["input"] == "rgb_hha"
    done = run_tool("predict", f"--model={out}", f"--out_dir={tmp_path / 'a'}", image)
    assert done.status == 0, done.err
    label = deeplab_tf.segment(deeplab_tf.load_model(model_dir), seen(5))
    assert (load_label(tmp_path / "a" / "5.png", 2) == label).mean() > 0.999


SMALL = [
    "--backbone=vgg16",  # has the fewest layers to trace
    "--head=large_fov",
    "--fc_channels=8",
    "--weights=none",
    "--batch_size=2",
    "--crop_size=33",
    "--steps=2",
]


@pytest.mark.slow
@pytest.mark.parametrize(("input", "channels"), [("rgb_hha", 6), ("rgbd", 4), ("hha", 3)])
def test_nyu_depth_from_the_original_files_to_an_export(tmp_path, input, channels):
    size = 60, 80
    scenes = [scene(seed, size) for seed in range(4)]
    colors, depths = (np.stack([each[part] for each in scenes]) for part in (0, 1))
    labels = np.random.default_rng(0).integers(0, 6, (4, 6, 8)).repeat(10, 1).repeat(10, 2)
    lists = {"trainNdxs": [1, 2, 3], "testNdxs": [4]}
    write_nyu(tmp_path / "nyu", colors, depths / 1000, labels, lists)
    place = "--dataset=nyudv2", f"--data_dir={tmp_path / 'data'}"
    made = f"--nyu_dir={tmp_path / 'nyu'}", f"--download_dir={tmp_path / 'down'}"
    options = "--trust_archives", "--nonyu_crop"
    done = run_tool("prepare-data", *place, *made, *options)
    assert done.status == 0, done.err
    assert "--train_split=trainval --val_split=test" in done.out.splitlines()[-1]
    given = f"--input={input}"
    done = run_tool("check-data", *place, "--splits=trainval,test", given)
    assert done.status == 0, done.out + done.err
    run, lists = tmp_path / "run", ["--train_split=trainval", "--val_split=test"]
    done = run_tool("train", *place, f"--model_dir={run}", *lists, *SMALL, given, "--eval_images=1")
    assert done.status == 0, done.err
    model = deeplab_tf.load_model(run)
    assert model.input_shape == (None, None, None, channels)
    scores = tmp_path / "scores.json"
    done = run_tool("evaluate", f"--model={run}", f"--json_out={scores}")
    assert done.status == 0, done.err
    assert len(json.loads(scores.read_text())["per_class_iou"]) == 40
    photo, maps = tmp_path / "x.png", tmp_path / "maps"
    maps.mkdir()
    cv2.imwrite(str(photo), colors[3][..., ::-1])
    np.save(maps / "x.npy", np.float32(depths[3] / 1000))
    done = run_tool("export", f"--model={run}", f"--out={tmp_path / 'served'}")
    assert done.status == 0, done.err
    found = []
    for number, network in enumerate((run, tmp_path / "served")):
        out = tmp_path / f"labels{number}"
        words = f"--model={network}", f"--out_dir={out}", f"--depth_dir={maps}", photo
        done = run_tool("predict", *words)
        assert done.status == 0, done.err
        found.append(load_label(out / "x.png", 40))
    assert found[0].shape == size and (found[0] == found[1]).mean() > 0.999
    if input == "rgb_hha":  # goes on from two networks, and packs
        again = f"--model_dir={tmp_path / 'again'}", f"--init_from={run}", "--eval_images=0"
        done = run_tool("train", *place, *again, *lists, *SMALL, given)
        assert done.status == 0 and "not in the file" not in done.out, done.err
        packed = tmp_path / "small.npz"
        done = run_tool("pack", f"--model={run}", f"--out={packed}")
        assert done.status == 0, done.err
        assert deeplab_tf.load_model(packed).input_shape == model.input_shape


def test_late_fusion_starts_from_color_alone_or_from_both(tmp_path, capsys):
    networks = {}
    for name, value in (("color", 1.0), ("hha", 2.0), ("new", 0.0)):
        images = keras.Input((None, None, 3))
        constant = keras.initializers.Constant(value)
        scores = keras.layers.Conv2D(2, 1, kernel_initializer=constant, name="fc8")(images)
        networks[name] = keras.Model(images, scores)
        networks[name].save(tmp_path / f"{name}.keras")
    fuse_late(networks["color"], networks["hha"]).save(tmp_path / "both.keras")

    def started(*words):
        values = absl_flags.FlagValues()
        train.define_flags(values)
        parse_flags(values, ["--data_dir=d", "--model_dir=m", "--input=rgb_hha", *words])
        model = fuse_late(networks["new"], networks["new"])
        start(values, model, ("a", "b"))
        return [float(model.get_layer(name).kernel[0, 0, 0, 0]) for name in ("fc8", "hha_fc8")]

    color, hha, both = (f"{tmp_path / name}.keras" for name in ("color", "hha", "both"))
    assert started(f"--init_from={color}") == [1, 1]
    assert started(f"--init_from={color}", f"--init_hha_from={hha}") == [1, 2]
    assert started(f"--init_hha_from={hha}") == [0, 2]
    assert started(f"--init_from={both}") == [1, 2]
    assert f"start from {both}: 2 layers copied\n" in capsys.readouterr().out
