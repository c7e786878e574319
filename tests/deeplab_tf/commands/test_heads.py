"""The commands on networks with several score heads: --heads and --head_name."""

import json
import re

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tiny_flags import TINY
from tiny_heads import scene, write_tiny_heads
from tiny_model import random_model
from tiny_siftflow import write_siftflow
from tool_runner import run_tool

import deeplab_tf
from deeplab_tf.commands.runs import Run
from deeplab_tf.data.image_files import load_label, load_pair
from deeplab_tf.data.label_sets import SIFTFLOW, SIFTFLOW_GEOMETRIC
from deeplab_tf.data.label_spaces import open_heads
from deeplab_tf.head_labels import HeadLabels, read_labels
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.score_heads import head_sizes, score_heads, with_heads

SIZES = {"thing": 3, "surface": 2}
LABELS = HeadLabels(
    ("thing", "surface"),
    (LabelSet.in_voc_colors(("sky", "road", "car")), LabelSet.in_voc_colors(("flat", "upright"))),
)
VAL = (4, 5)  # the seeds of the scenes to validate on


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_tiny_heads(tmp_path_factory.mktemp("heads") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random network with two heads, and its classes."""
    folder = tmp_path_factory.mktemp("model")
    with_heads(random_model(5), SIZES).save(folder / "best.keras")
    LABELS.save(folder / "labels.json")
    return folder / "best.keras"


def accuracies(model):
    """The pixel accuracy of each head on the scenes to validate on."""
    network, right = deeplab_tf.load_model(model), {head: [] for head in SIZES}
    for seed in VAL:
        image, *truths = scene(seed)
        for head, truth in zip(SIZES, truths, strict=True):
            right[head].append(deeplab_tf.segment(network, image, head=head) == truth)
    return {head: np.mean(each) for head, each in right.items()}


def test_every_head_is_scored_in_one_pass(data_dir, model, tmp_path):
    scores, labels = tmp_path / "scores.json", tmp_path / "labels"
    done = run_tool(
        "evaluate",
        f"--model={model}",
        f"--data_dir={data_dir}",
        f"--json_out={scores}",
        f"--predictions_out={labels}",
    )
    assert done.status == 0, done.err
    found = json.loads(scores.read_text())["heads"]
    assert list(found) == ["thing", "surface"]
    assert list(found["surface"]["per_class_iou"]) == ["flat", "upright"]
    accuracy = {head: each["pixel_accuracy"] for head, each in found.items()}
    assert accuracy == pytest.approx(accuracies(model))
    assert "head thing\n" in done.out and "head surface\n" in done.out
    assert done.out.rstrip().endswith(f" {data_dir / 'JPEGImages' / '4.png'}")  # next: predict ...
    for head, truth in zip(SIZES, scene(4)[1:], strict=True):
        predicted = load_label(labels / head / "4.png", SIZES[head])
        assert predicted.shape == truth.shape


def test_one_head_is_scored_like_a_network_with_one(data_dir, model, tmp_path):
    scores = tmp_path / "scores.json"
    place = f"--model={model}", f"--data_dir={data_dir}"
    done = run_tool("evaluate", *place, "--head_name=surface", f"--json_out={scores}")
    assert done.status == 0, done.err
    found = json.loads(scores.read_text())
    assert found["pixel_accuracy"] == pytest.approx(accuracies(model)["surface"])
    assert found["settings"]["head_name"] == "surface"
    assert "--head_name=surface" in done.out.splitlines()[-1]  # the next command keeps it


def test_other_names_of_a_heads_classes_are_a_warning(data_dir, model, tmp_path):
    deeplab_tf.load_model(model).save(tmp_path / "best.keras")
    surfaces = LabelSet.in_voc_colors(("flat", "wall"))
    HeadLabels(LABELS.heads, (LABELS.of("thing"), surfaces)).save(tmp_path / "labels.json")
    done = run_tool("evaluate", f"--model={tmp_path}", f"--data_dir={data_dir}")
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    assert line.startswith(f"warning: class 1 is 'wall' in the model {tmp_path} but 'upright'")


@pytest.mark.parametrize(
    "words, message",
    [
        (["evaluate", "--crf"], "--crf is for one label space, but .* thing, surface; choose one"),
        (["evaluate", "--head_name=color"], "--head_name: no head 'color'; .* thing, surface"),
        (["evaluate", "--overwrite"], "--overwrite has no effect without --predictions_out"),
        (["evaluate", "--crf_w1=3"], "--crf_w1 has no effect without --crf"),
        (["evaluate", "--runner=ray"], "thing, surface, but --runner=ray takes networks with one"),
        (["search-crf", "--out_dir=o"], "--head_name: no head is chosen; .* thing, surface"),
    ],
)
def test_what_needs_one_head_says_so(data_dir, model, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deeplab_tf.commands.evaluate.import_ray", lambda: None)
    command, *flags = words
    done = run_tool(command, f"--model={model}", f"--data_dir={data_dir}", *flags)
    assert re.search(message, done.error), done.error


def test_a_network_with_heads_is_not_packed(model, tmp_path):
    done = run_tool("pack", f"--model={model}", f"--out={tmp_path / 'm.npz'}")
    assert "has the score heads thing, surface, but a packed network has one" in done.error


@pytest.mark.parametrize("heads", ["a", "a:1", "a:3,a:2", "1:3", "a:300"])
def test_heads_that_cannot_be_read_are_one_line(data_dir, tmp_path, heads):
    done = run_tool(
        "train", f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'm'}", f"--heads={heads}"
    )
    assert f"--heads={heads}: " in done.error and "give NAME:CLASSES" in done.error


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--crf_train"], "--crf_train trains the CRF of one label space; leave out --heads"),
        (["--objective=mil"], "--objective=mil is for one label space; leave out --heads"),
        (["--objective=partial"], "--objective=partial is for one label space; leave out --heads"),
        (["--objective=depth"], "--objective=depth predicts depth, not classes; leave out --heads"),
        (["--shared_classes"], "--shared_classes is for one label space; leave it or --heads out"),
        (["--class_weights=1,2"], "--class_weights=1,2: numbers are for one label space"),
    ],
)
def test_training_that_needs_one_head_is_refused(data_dir, tmp_path, flags, message):
    place = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'm'}"
    done = run_tool("train", *TINY, *place, "--heads=thing:3,surface:2", *flags)
    assert message in done.error and not (tmp_path / "m").exists()


def test_the_labels_of_every_head_are_checked(data_dir, tmp_path):
    report = tmp_path / "report.json"
    words = f"--data_dir={data_dir}", f"--json_out={report}"
    done = run_tool("check-data", *words, "--heads=thing:3,surface:2")
    assert done.status == 0, done.out + done.err
    assert set(json.loads(report.read_text())["heads"]) == {"thing", "surface"}
    assert "upright" in done.out and "road" in done.out
    assert done.out.splitlines()[-1].endswith(" --heads=thing:3,surface:2")
    done = run_tool("check-data", *words, "--heads=thing:3,surface:4")
    assert "names 2 classes there; give surface:2" in done.error
    done = run_tool("check-data", *words, "--heads=thing:3,surface:2", "--objective=depth")
    assert "--objective=depth predicts depth, not classes; leave out --heads" in done.error


def test_predict_writes_a_folder_for_each_head(model, tmp_path):
    image = scene(4)[0]
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    place = f"--model={model}", f"--out_dir={tmp_path / 'out'}"
    done = run_tool("predict", *place, tmp_path / "a.png")
    assert done.status == 0, done.err
    network = deeplab_tf.load_model(model)
    for head, size in SIZES.items():
        found = load_label(tmp_path / "out" / head / "a.png", size)
        np.testing.assert_array_equal(found, deeplab_tf.segment(network, image, head=head))
        assert (tmp_path / "out" / head / "a_overlay.png").is_file()
    assert not list((tmp_path / "out").glob("*.png"))
    done = run_tool("predict", *place, "--class_maps=road", tmp_path / "a.png")
    assert "--class_maps is for one label space" in done.error


@pytest.mark.slow
def test_siftflow_from_its_archive_to_an_exported_network(tmp_path):
    names = [f"coast_{number}" for number in range(6)]
    original = write_siftflow(tmp_path / "original", names[:4], names[4:])
    data = "--dataset=siftflow", f"--data_dir={tmp_path / 'data'}"
    source = f"--siftflow_dir={original}", f"--download_dir={tmp_path / 'downloads'}"
    done = run_tool("prepare-data", *data, *source, "--trust_archives")
    assert done.status == 0, done.out + done.err
    heads, lists = "--heads=semantic:33,geometric:3", ("trainval", "test")
    done = run_tool("check-data", *data, heads, f"--splits={','.join(lists)}")
    assert done.status == 0, done.out + done.err

    folder = tmp_path / "m"
    lists = [f"--train_split={lists[0]}", f"--val_split={lists[1]}"]
    balanced = "--class_weights=median_frequency"
    place = *data, *lists, f"--model_dir={folder}"
    done = run_tool("train", *TINY, *place, heads, "--steps=2", "--crop_size=33", balanced)
    assert done.status == 0, done.err
    assert "class weights: semantic/awning" in done.out and "mean of 2 heads" in done.out
    labels = HeadLabels(("semantic", "geometric"), (SIFTFLOW, SIFTFLOW_GEOMETRIC))
    run, network = Run.load(folder), deeplab_tf.load_model(folder)
    assert run.label_set == read_labels(folder / "labels.json") == labels
    assert (
        run.network["heads"] == {"semantic": 33, "geometric": 3} == head_sizes(score_heads(network))
    )
    refused = run_tool("train", f"--model_dir={folder}", "--heads=semantic:33")
    assert "has --heads=semantic:33,geometric:3; leave the flag out" in refused.error
    done = run_tool("evaluate", f"--model={folder}", f"--json_out={tmp_path / 's.json'}")
    assert done.status == 0, done.err
    scores = json.loads((tmp_path / "s.json").read_text())["heads"]
    image, truth = load_pair(open_heads(*place_of(data), "test", labels.sizes)[0][0], 36)
    assert set(scores) == {"semantic", "geometric"} and truth.shape == (*image.shape[:2], 2)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    out = tmp_path / "out"
    done = run_tool("predict", f"--model={folder}", f"--out_dir={out}", tmp_path / "a.png")
    assert done.status == 0, done.err
    found = load_label(out / "geometric" / "a.png", 3)
    np.testing.assert_array_equal(found, deeplab_tf.segment(network, image, head="geometric"))
    check_export(folder, network, labels, image, tmp_path)


def place_of(flags):
    return [flag.partition("=")[2] for flag in flags]


def check_export(folder, network, labels, image, tmp_path):
    """Export the network, and compare what TensorFlow and `open_model` make of the export."""
    served = tmp_path / "served"
    done = run_tool("export", f"--model={folder}", f"--out={served}")
    assert done.status == 0, done.err
    found = tf.saved_model.load(str(served)).signatures["uint8"](images=tf.constant(image[None]))
    what = "labels", "probabilities"
    assert set(found) == {f"{head}_{each}" for head in labels.heads for each in what}
    opened = deeplab_tf.open_model(served)
    assert opened.label_set == labels
    for head in labels.heads:
        right = deeplab_tf.segment(network, image, head=head, return_probabilities=True)
        np.testing.assert_allclose(found[f"{head}_probabilities"][0], right, atol=1e-5)
        again = deeplab_tf.segment(opened, image, head=head, return_probabilities=True)
        np.testing.assert_allclose(again, right, atol=1e-5)
    data = "--dataset=siftflow", f"--data_dir={tmp_path / 'data'}", "--split=test"
    for words in ([], ["--head_name=geometric", "--crf"]):
        done = run_tool("evaluate", f"--model={served}", *data, *words)
        assert done.status == 0, done.err
    one = tmp_path / "one"
    done = run_tool("export", f"--model={folder}", "--head_name=geometric", f"--out={one}")
    assert done.status == 0, done.err
    assert deeplab_tf.open_model(one).classes == ("sky", "horizontal", "vertical")
