"""docs/own_data.md: its commands have known flags, and lead from two folders to labels."""

import importlib
import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from absl.flags import FlagValues
from tiny_archives import gradient, jpeg, png, write_files
from tool_runner import run_tool

from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.data.image_files import load_classes
from deeplab_tf.labels import VOID

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "own_data.md").read_text()


def commands():
    """The commands in the page's blocks of code, each as a list: name, flags, other arguments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    text = "".join(block for language, block in blocks if not language)
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("deeplab-tf ")]


def test_the_recipe_has_four_commands_and_the_use():
    names = [name for name, *_ in commands()]
    assert names == ["prepare-data", "train", "search-crf", "evaluate", "predict"]


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_every_flag_is_known(words, tmp_path, monkeypatch):
    name, *arguments = words
    # The search writes this flagfile.
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, {"runs/photos/crf_search/best_crf.flags": "--crf\n"})
    values = FlagValues()
    importlib.import_module(f"deeplab_tf.commands.{name.replace('-', '_')}").define_flags(values)
    others = parse_flags(values, arguments)
    assert others == (["new_photos"] if name == "predict" else [])


def follow(**more):
    """Run the page's commands in the current folder; `more`: further arguments by command."""
    for name, *arguments in commands():
        done = run_tool(name, *arguments, *more.get(name.replace("-", "_"), []))
        assert done.status == 0, done.err


@pytest.mark.slow
def test_followed_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        # Left sky, right road, and between them what nobody has labeled.
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 32:], mask[:, 26:34] = 1, 255
        name = f"IMG_{number:04d}"
        files = {f"photos/{name}.jpg": jpeg(gradient(number, mask.shape))}
        write_files(tmp_path, {**files, f"masks/{name}.png": png(mask)})
    write_files(tmp_path, {"classes.txt": "sky\nroad\n"})
    write_files(tmp_path, {"new_photos/a.jpg": jpeg(gradient(99, (50, 70)))})
    follow(train=["--weights=none", "--steps=2", "--batch_size=2", "--crop_size=33"])
    label = cv2.imread(str(tmp_path / "labels" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert label.shape[:2] == (50, 70)
    assert (tmp_path / "labels" / "a_overlay.png").is_file()


@pytest.mark.slow
def test_forty_real_photographs_beat_the_majority_class(msrc21, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = (msrc21 / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
    for number, name in enumerate(evenly_spaced(names, 40)):
        image, label = msrc21 / "JPEGImages" / f"{name}.jpg", msrc21 / "SegmentationClass" / name
        files = {f"photos/IMG_{number:04d}.jpg": image.read_bytes()}
        mask = label.with_suffix(".png").read_bytes()
        write_files(tmp_path, {**files, f"masks/IMG_{number:04d}.png": mask})
    write_files(tmp_path, {"classes.txt": (msrc21 / "classes.txt").read_text()})
    write_files(tmp_path, {"new_photos/a.jpg": image.read_bytes()})
    file = weights / "mobilenetv2_imagenet_to_block13_notop.weights.h5"
    short = ["--steps=60", "--eval_every=60", f"--weights={file}"]
    follow(train=short, search_crf=["--grid_w1=4", "--rounds=0"], evaluate=["--json_out=s.json"])
    scores = json.loads((tmp_path / "s.json").read_text())
    examples, label_set = open_dataset("folder", "data", "val")
    labels = np.concatenate([load_classes(e, label_set.num_classes).ravel() for e in examples])
    counts = np.bincount(labels[labels != VOID])
    majority = counts.max() / counts.sum()
    assert scores["pixel_accuracy"] > 2 * majority
    assert scores["crf"]["pixel_accuracy"] > 2 * majority
