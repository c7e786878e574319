"""The CRF's parameters as the tools take them, from single flags and from a file."""

import json
from dataclasses import fields

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.data.image_files import load_label
from deeplab_tf.evaluation import segment
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = 4
POTTS = CRFParams(w1=6, sigma_alpha=15, sigma_beta=20, w2=2, sigma_gamma=2, iterations=3)
# Not symmetric, and so far from the Potts model that its results cannot be mistaken for it.
COMPATIBILITY = ((0, 3, 0.2, 1), (0.1, -1, 2, 0), (1, 1, 0, 4), (0.5, 0, 3, -0.5))
LEARNED = CRFParams(
    w1=6, sigma_alpha=15, sigma_beta=20, w2=2, sigma_gamma=2, iterations=3,
    normalization="after", compatibility=COMPATIBILITY,
)  # fmt: skip
IMAGE = blocks(50, 67, seed=5)


@pytest.fixture(scope="module")
def model():
    return random_model(CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """A model directory that also holds parameters and an image in VOC layout."""
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "best.keras")
    LEARNED.save(folder / "best_crf.json")
    POTTS.save(folder / "potts.json")
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "JPEGImages" / "x.png"), IMAGE[..., ::-1])
    cv2.imwrite(str(folder / "SegmentationClass" / "x.png"), truth())
    (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("x\n")
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    return folder


def truth():
    rng = np.random.default_rng(0)
    return rng.integers(0, CLASSES, IMAGE.shape[:2]).astype(np.uint8)


def predict(folder, out, *flags):
    photo = folder / "JPEGImages" / "x.png"
    return run_tool("predict", f"--model={folder}", f"--out_dir={out}", *flags, photo)


def test_the_parameters_of_the_tests_make_a_difference(model):
    results = [segment(model, IMAGE, params) for params in (None, POTTS, LEARNED)]
    assert (results[0] != results[1]).mean() > 0.02
    assert (results[1] != results[2]).mean() > 0.02


@pytest.mark.parametrize(("name", "params"), [("best_crf", LEARNED), ("potts", POTTS)])
def test_predict_takes_the_file_whole(model, folder, tmp_path, name, params):
    done = predict(folder, tmp_path, "--crf", f"--crf_params={folder / name}.json")
    assert done.status == 0, done.err
    np.testing.assert_array_equal(
        load_label(tmp_path / "x.png", CLASSES), segment(model, IMAGE, params)
    )


def test_single_flags_make_the_same_parameters_as_a_file(model, folder, tmp_path):
    flags = ["--crf_w1=6", "--crf_sigma_alpha=15", "--crf_sigma_beta=20", "--crf_w2=2"]
    flags += ["--crf_sigma_gamma=2", "--crf_iterations=3", "--crf_normalization=symmetric"]
    alone = predict(folder, tmp_path / "alone", "--crf", *flags)
    both = predict(folder, tmp_path / "both", "--crf", *flags, f"--crf_params={folder}/potts.json")
    assert alone.status == both.status == 0, alone.err + both.err
    for out in ("alone", "both"):
        np.testing.assert_array_equal(
            load_label(tmp_path / out / "x.png", CLASSES), segment(model, IMAGE, POTTS)
        )


def test_evaluate_scores_what_the_file_makes(model, folder, tmp_path):
    done = run_tool(
        "evaluate", f"--model={folder}", f"--data_dir={folder}", "--crf",
        f"--crf_params={folder}/best_crf.json", f"--json_out={tmp_path / 'scores.json'}",
    )  # fmt: skip
    assert done.status == 0, done.err
    confusion = ConfusionMatrix(CLASSES)
    confusion.add(truth(), segment(model, IMAGE, LEARNED))
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["crf"]["miou"] == pytest.approx(confusion.miou)
    assert scores["crf"]["miou"] != pytest.approx(scores["miou"], abs=1e-6)


@pytest.mark.slow
def test_the_export_holds_the_learned_compatibility(model, folder, tmp_path):
    out = tmp_path / "served"
    done = run_tool(
        "export", f"--model={folder}", f"--out={out}", "--crf",
        f"--crf_params={folder}/best_crf.json",
    )  # fmt: skip
    assert done.status == 0, done.err
    served = tf.saved_model.load(out).signatures["uint8"](images=IMAGE[None])
    want = segment(model, IMAGE, LEARNED, return_probabilities=True)
    assert np.abs(served["probabilities"][0] - want).mean() < 1e-5
    assert (served["labels"][0].numpy() == segment(model, IMAGE, LEARNED)).mean() >= 0.999
    assert LabelSet.load(out / "assets" / "labels.json") == LabelSet.generic(CLASSES)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--crf_w1=3"], "--crf_w1=3.0, but {file} has 6.0; leave out one"),
        (["--crf_iterations=10"], "--crf_iterations=10, but {file} has 3"),
        (["--crf_normalization=symmetric"], "--crf_normalization=symmetric, but {file} has after"),
    ],
)
def test_a_flag_that_contradicts_the_file_is_refused(folder, tmp_path, flags, message):
    file = folder / "best_crf.json"
    done = predict(folder, tmp_path / "out", "--crf", f"--crf_params={file}", *flags)
    assert message.format(file=file) in done.error
    assert not (tmp_path / "out").exists()


def other_flags(tool, folder, tmp_path):
    """What a tool must be given beside model and CRF."""
    return {
        "predict": [f"--out_dir={tmp_path / 'out'}", folder / "JPEGImages" / "x.png"],
        "evaluate": [f"--data_dir={folder}"],
        "export": [f"--out={tmp_path / 'out'}"],
    }[tool]


@pytest.mark.parametrize("tool", ["predict", "evaluate", "export"])
@pytest.mark.parametrize("flag", ["crf_params=best_crf.json", "crf_w1=4", "crf_normalization=none"])
def test_a_parameter_without_the_switch_is_refused(folder, tmp_path, tool, flag):
    done = run_tool(tool, f"--model={folder}", f"--{flag}", *other_flags(tool, folder, tmp_path))
    name = flag.split("=")[0]
    assert f"--{name} has no effect without --crf; add --crf" in done.error
    assert not (tmp_path / "out").exists()


def test_a_parameter_in_a_flagfile_without_the_switch_is_refused(folder, tmp_path):
    (tmp_path / "crf.flags").write_text("--crf_sigma_gamma=3\n")
    done = predict(folder, tmp_path / "out", f"--flagfile={tmp_path / 'crf.flags'}")
    assert "--crf_sigma_gamma has no effect without --crf" in done.error


def test_no_flag_of_the_parameters_is_forgotten(folder, tmp_path):
    values = {"normalization": "none"} | {
        name: 2 for name in ("w1", "w2", "sigma_alpha", "sigma_beta", "sigma_gamma", "iterations")
    }
    assert values.keys() == {field.name for field in fields(CRFParams)} - {"compatibility"}
    for name, value in values.items():
        done = predict(folder, tmp_path / "out", f"--crf_{name}={value}")
        assert f"--crf_{name} has no effect without --crf" in done.error


@pytest.mark.parametrize("tool", ["predict", "evaluate", "export"])
def test_a_compatibility_for_other_classes_is_refused(folder, tmp_path, tool):
    file = tmp_path / "two.json"
    CRFParams(compatibility=((0, 1), (1, 0))).save(file)
    more = other_flags(tool, folder, tmp_path)
    done = run_tool(tool, f"--model={folder}", "--crf", f"--crf_params={file}", *more)
    assert f"{file}: its compatibility is for 2 classes but the model has 4" in done.error


def test_files_that_are_no_parameters_are_refused(folder, tmp_path):
    (tmp_path / "text.json").write_text("hello")
    for name in ("none.json", "text.json"):
        done = predict(folder, tmp_path / "out", "--crf", f"--crf_params={tmp_path / name}")
        assert "--crf_params" in done.error and name in done.error


@pytest.mark.parametrize("tool", ["predict", "evaluate"])
def test_a_limit_of_memory_needs_the_switch_and_reaches_the_crf(folder, tmp_path, tool):
    flags = [f"--model={folder}", *other_flags(tool, folder, tmp_path), "--crf_max_memory=0.0001"]
    assert "--crf_max_memory has no effect without --crf" in run_tool(tool, *flags).error
    done = run_tool(tool, *flags, "--crf")
    assert "refine: max_memory is 0.0001 GB, but strips of " in done.error
