"""The commands on --objective=depth: check, train, evaluate, predict and export."""

import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_depth import scene, write_tiny_depth
from tiny_model import random_model
from tiny_nyu import write_nyu
from tool_runner import run_tool

import deeplab_tf
from benchmarks import depth_networks
from deeplab_tf.commands import train
from deeplab_tf.commands.agreement import checksum
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.depth_targets import depth_targets, load_depth_pair
from deeplab_tf.data.image_files import load_image
from deeplab_tf.data.synthetic_rooms import write_synthetic_rooms
from deeplab_tf.data.voc import read_split
from deeplab_tf.evaluation.depth import predict_depth
from deeplab_tf.evaluation.depth_errors import DepthErrors

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Color and depth without labels."""
    folder = write_tiny_depth(tmp_path_factory.mktemp("depth") / "data")
    for label in (folder / "SegmentationClass").iterdir():
        label.unlink()
    return folder


def small_network(*_, **__):
    return random_model(1)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, data_dir):
    """A run of four steps, of a network with one convolution."""
    folder = tmp_path_factory.mktemp("runs") / "depth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "build_network", small_network)
        words = "--steps=4", "--batch_size=2", "--crop_size=65", "--scale_high=1.2", "--jitter=0.2"
        done = run_tool(
            "train",
            f"--data_dir={data_dir}",
            f"--model_dir={folder}",
            "--objective=depth",
            "--weights=none",
            "--learning_rate=1e-3",
            *words,
        )
    assert done.status == 0, done.err
    assert "delta < 1.25 on 2 of the 2 images of val" in done.out + done.err
    assert "evaluate" in done.out.splitlines()[-1]
    return folder


def predicted(run_dir, image, **settings):
    return predict_depth(deeplab_tf.load_model(run_dir), image, **settings)


def assert_in_file(file, depth):
    """The file is a 16-bit PNG of the depth in millimeters."""
    limited = np.clip(depth, 0.001, 65.535)
    np.testing.assert_allclose(decode_depth(file.read_bytes()), limited, atol=6e-4)


def test_a_run_has_a_network_for_depth_and_no_labels(run_dir, data_dir, monkeypatch):
    assert deeplab_tf.load_model(run_dir).output_shape[-1] == 1
    assert (run_dir / "last.keras").is_file() and not (run_dir / "labels.json").exists()
    assert json.loads((run_dir / "run.json").read_text())["network"]["num_classes"] == 1
    # The same command goes on, and another objective is another run.
    monkeypatch.setattr(train, "build_network", small_network)
    done = run_tool("train", f"--model_dir={run_dir}")
    assert done.status == 0 and "training is complete: 4 of 4 steps" in done.out, done.err
    error = run_tool("train", f"--model_dir={run_dir}", "--objective=pixels").error
    assert "--objective=pixels: the run in" in error and "has --objective=depth" in error


def test_evaluate_gives_the_errors_of_all_pixels(run_dir, data_dir, tmp_path):
    scores, panel, maps = tmp_path / "scores.json", tmp_path / "panel.png", tmp_path / "maps"
    outputs = f"--json_out={scores}", f"--panel_out={panel}", f"--predictions_out={maps}"
    done = run_tool("evaluate", f"--model={run_dir}", *outputs)
    assert done.status == 0, done.err
    errors = DepthErrors()
    for seed in (4, 5):
        color, millimeters, _ = scene(seed)
        errors.add(np.float32(millimeters) / 1000, predicted(run_dir, color))
    found = json.loads(scores.read_text())
    assert found.pop("settings")["images"] == 2
    assert found == pytest.approx(errors.to_dict(), rel=1e-4)
    assert f"{errors.abs_rel:.4f}" in done.out
    assert cv2.imread(str(panel)).shape[1] > 3 * 90
    assert_in_file(maps / "4.png", predicted(run_dir, scene(4)[0]))


def test_workers_compare_their_depth_maps_before_they_evaluate(run_dir, data_dir, monkeypatch):
    facts = {}
    monkeypatch.setattr(
        "deeplab_tf.commands.evaluate_depth.check_agreement",
        lambda strategy, find_facts: facts.update(find_facts()),
    )
    done = run_tool("evaluate", f"--model={run_dir}")
    assert done.status == 0, done.err
    examples = depth_targets(read_split(data_dir, "val", need_labels=False), "voc", data_dir)
    assert facts["the list val"] == f"2 images, checksum {checksum(examples):08x}"
    assert facts["--split"] == "val" and "the weights of --model" in facts


def test_predict_writes_millimeters_and_a_picture(run_dir, data_dir, tmp_path):
    image, panel = data_dir / "JPEGImages" / "5.png", tmp_path / "panel.png"
    words = f"--model={run_dir}", f"--out_dir={tmp_path / 'out'}", f"--panel_out={panel}"
    done = run_tool("predict", *words, "--flip", image)
    assert done.status == 0, done.err
    color = load_image(image)
    assert_in_file(tmp_path / "out" / "5.png", predicted(run_dir, color, flip=True))
    assert cv2.imread(str(tmp_path / "out" / "5_colors.png")).shape[1] >= 90
    assert panel.is_file() and "5_colors.png" in done.out
    done = run_tool("predict", *words, "--max_side=45", image)
    assert done.status == 0 and "depth at full size" in done.out, done.err
    assert_in_file(tmp_path / "out" / "5.png", predicted(run_dir, color, max_side=45))


@pytest.mark.slow
def test_a_saved_model_gives_the_same_depth(run_dir, data_dir, tmp_path):
    out, image = tmp_path / "served", data_dir / "JPEGImages" / "5.png"
    done = run_tool("export", f"--model={run_dir}", f"--out={out}", "--served_max_side=60")
    assert done.status == 0, done.err
    served = tf.saved_model.load(str(out))
    color = load_image(image)
    expected = predicted(run_dir, color, max_side=60)
    for name, value in (("uint8", color), ("serving_default", color.astype(np.float32))):
        depth = served.signatures[name](images=tf.constant(value[None]))["depth"].numpy()
        np.testing.assert_allclose(depth[0], expected, rtol=0.02)
    files = tf.constant([image.read_bytes()] * 2)
    depth = served.signatures["encoded"](image_bytes=files)["depth"].numpy()
    np.testing.assert_allclose(depth[1], expected, rtol=0.02)
    png = served.signatures["encoded_png"](image_bytes=files)["png_bytes"].numpy()[1]
    (tmp_path / "served.png").write_bytes(png)
    assert_in_file(tmp_path / "served.png", depth[1])
    # The commands and open_model run it as they run the network.
    model = deeplab_tf.open_model(out)
    assert model.classes == () and model.output_shape[-1] == 1
    np.testing.assert_allclose(predict_depth(model, color), depth[0], rtol=1e-5)
    with pytest.raises(deeplab_tf.InputError, match="predicts depth, not classes"):
        model.probabilities(color)
    done = run_tool("predict", f"--model={out}", f"--out_dir={tmp_path / 'a'}", image)
    assert done.status == 0, done.err
    done = run_tool("evaluate", f"--model={out}", f"--data_dir={data_dir}")
    assert done.status == 0 and "delta < 1.25^2" in done.out, done.err


def test_the_check_looks_at_depth_maps_and_not_at_labels(data_dir, tmp_path):
    given = f"--data_dir={data_dir}", "--objective=depth"
    done = run_tool("check-data", *given)
    assert done.status == 0 and "no problem found" in done.out, done.out + done.err
    assert "--objective=depth" in done.out.splitlines()[-1]
    folder = write_tiny_depth(tmp_path / "data")
    (folder / "Depth" / "0.png").unlink()
    cv2.imwrite(str(folder / "Depth" / "1.png"), np.full((5, 6), 1000, np.uint16))
    report = tmp_path / "report.json"
    done = run_tool(
        "check-data", f"--data_dir={folder}", "--objective=depth", f"--json_out={report}"
    )
    assert done.status == 1
    kinds = [finding["kind"] for finding in json.loads(report.read_text())["findings"]]
    assert kinds == ["depth_missing", "depth_size"]
    error = run_tool("check-data", *given, "--input=rgbd").error
    assert "--input=rgbd shows the network the depth that it is to predict" in error


def test_what_makes_no_sense_for_depth_is_refused(run_dir, data_dir, tmp_path):
    new = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'm'}", "--objective=depth"
    for flag, message in (
        ("--input=rgbd", "--input=rgbd shows the network the depth that it is to predict"),
        ("--scales=1,0.5", "--scales keeps the highest scores of the classes; leave it out"),
        ("--test_scales=1,0.5", "--test_scales keeps the highest scores of the classes; leave"),
        ("--class_weights=1,2", "--class_weights has no effect with --objective=depth"),
        ("--crf_train", "--objective=depth does not train a CRF"),
        ("--foreground_portion=0.3", "no effect without --objective=em_adapt"),
    ):
        assert message in run_tool("train", *new, "--weights=none", flag).error
    assert not (tmp_path / "m").exists()
    model, image = f"--model={run_dir}", data_dir / "JPEGImages" / "5.png"
    for flag in ("--crf", "--crf_w1=3", "--trimap", f"--report_out={tmp_path / 'r'}"):
        name = flag.partition("=")[0]
        error = run_tool("evaluate", model, flag).error
        assert f"{name} has no effect: {run_dir} predicts depth, not classes" in error
    assert "--scales keeps the highest" in run_tool("evaluate", model, "--scales=1,2").error
    assert "has a single score head" in run_tool("evaluate", model, "--head_name=a").error
    out = f"--out_dir={tmp_path / 'o'}"
    for flag in ("--crf", "--side_by_side", "--overlay_alpha=1", "--depth_dir=x"):
        error = run_tool("predict", model, out, flag, image).error
        assert flag.partition("=")[0] in error, error
    saved = f"--out={tmp_path / 's'}"
    assert "--crf is for classes" in run_tool("export", model, saved, "--crf").error
    assert "--scales is for classes" in run_tool("export", model, saved, "--scales=2").error
    for command, *words in (
        ("search-crf", out),
        ("explain-crf", out, image),
        ("pack", f"--out={tmp_path / 'p.npz'}"),
    ):
        error = run_tool(command, model, *words).error
        assert "for depth" in error and "use evaluate, predict or export" in error, command
    with pytest.raises(deeplab_tf.InputError, match="predicts depth, not classes"):
        deeplab_tf.segment(deeplab_tf.load_model(run_dir), scene(0)[0])
    with pytest.raises(deeplab_tf.InputError, match="predicts classes; give one trained with"):
        predict_depth(random_model(2), scene(0)[0])


def test_data_without_depth_is_refused(tmp_path):
    folder = write_tiny_depth(tmp_path / "data")
    for file in (folder / "Depth").iterdir():
        file.unlink()
    words = f"--data_dir={folder}", f"--model_dir={tmp_path / 'm'}", "--weights=none"
    error = run_tool("train", *words, "--objective=depth").error
    assert "Depth/0.png: no such depth map; add it" in error and "--objective=pixels" in error


@pytest.mark.parametrize("build", [deeplab_tf.build_deeplab, deeplab_tf.build_fcn])
def test_the_builders_give_one_channel(build):
    options = {"head": "large_fov", "fc_channels": 8} if build is deeplab_tf.build_deeplab else {}
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        model = build("vgg16", weights=None, predict_depth=True, **options)
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    assert model.output_shape == (None, None, None, 1)


@pytest.mark.slow
def test_depth_is_learned_from_color(tmp_path, monkeypatch):
    data, run = tmp_path / "data", tmp_path / "run"
    write_synthetic_rooms(data, 60, 20, (128, 160))
    monkeypatch.setattr(
        train, "build_network", lambda *_, **__: depth_networks.small_network(3, outputs=1)
    )
    place = "--dataset=synthetic_rooms", f"--data_dir={data}"
    size = "--steps=250", "--batch_size=8", "--crop_size=129", "--scale_high=1.25"
    words = *place, f"--model_dir={run}", "--flagfile=synthetic_depth", *size, "--eval_every=250"
    done = run_tool("train", *words)
    assert done.status == 0, done.err
    scores = tmp_path / "scores.json"
    done = run_tool("evaluate", f"--model={run}", f"--json_out={scores}")
    assert done.status == 0, done.err
    maps = {
        split: [
            load_depth_pair(example)[1]
            for example in depth_targets(read_split(data, split), "synthetic_rooms", data)
        ]
        for split in ("train", "val")
    }
    # The one depth for all pixels that suits the training images best.
    mean, chance = np.exp(np.log(np.stack(maps["train"])).mean()), DepthErrors()
    for depth in maps["val"]:
        chance.add(depth, np.full_like(depth, mean))
    found = json.loads(scores.read_text())
    assert found["delta1"] > chance.delta1 + 0.2
    assert found["rmse_log"] < 0.6 * chance.rmse_log


@pytest.mark.slow
def test_nyu_depth_from_the_original_files_to_a_prediction(tmp_path):
    scenes = [scene(seed, (60, 80)) for seed in range(4)]
    colors, depths = (np.stack([each[part] for each in scenes]) for part in (0, 1))
    lists = {"trainNdxs": [1, 2, 3], "testNdxs": [4]}
    write_nyu(tmp_path / "nyu", colors, depths / 1000, np.ones((4, 60, 80)), lists)
    place = "--dataset=nyudv2", f"--data_dir={tmp_path / 'data'}"
    made = f"--nyu_dir={tmp_path / 'nyu'}", f"--download_dir={tmp_path / 'down'}"
    done = run_tool("prepare-data", *place, *made, "--trust_archives", "--nonyu_crop")
    assert done.status == 0, done.err
    given = "--objective=depth"
    done = run_tool("check-data", *place, "--splits=trainval,test", given)
    assert done.status == 0, done.out + done.err
    run = tmp_path / "run"
    words = "--flagfile=nyudv2_fcn8s_depth", *place, f"--model_dir={run}", "--weights=none"
    small = "--backbone=mobilenetv2", "--batch_size=2", "--accumulate=1", "--crop_size=64"
    done = run_tool("train", *words, *small, "--steps=2", "--eval_images=1")
    assert done.status == 0, done.err
    scores = tmp_path / "scores.json"
    done = run_tool("evaluate", f"--model={run}", f"--json_out={scores}")
    assert done.status == 0, done.err
    assert json.loads(scores.read_text())["pixels"] == 60 * 80
    photo = tmp_path / "x.png"
    cv2.imwrite(str(photo), colors[3][..., ::-1])
    done = run_tool("predict", f"--model={run}", f"--out_dir={tmp_path / 'o'}", photo)
    assert done.status == 0, done.err
    assert decode_depth((tmp_path / "o" / "x.png").read_bytes()).shape == (60, 80)
