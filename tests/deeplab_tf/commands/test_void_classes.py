"""A data set with ignored values is, for every command, the same data set with void instead."""

import json
import shutil

import numpy as np
import planted
import pytest
from tiny_model import random_model
from tool_runner import run_tool

from deeplab_tf.data.datasets import label_encoding, open_dataset
from deeplab_tf.data.image_files import load_label, load_pair
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.synthetic import CLASSES
from deeplab_tf.labels import VOID, LabelSet

# The values of the classes in the other data set: 0 and 4 are ignored there, and 255.
VALUES = np.array([1, 2, 3, 5, 6, 7, 8])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The small data set, in which rows of every label are void."""
    folder = tmp_path_factory.mktemp("data") / "plain"
    planted.write_small_set(folder)
    for path in planted.all_labels(folder):
        label = planted.read_label(path)
        label[:9] = VOID
        planted.write_label(path, label)
    return folder


@pytest.fixture(scope="module")
def marked(plain):
    """The same, with the void rows as 0, 4 and 255."""
    folder = shutil.copytree(plain, plain.parent / "marked")
    for path in planted.all_labels(folder):
        label = planted.read_label(path)
        values = VALUES[np.where(label == VOID, 0, label)]
        void = np.array([0, 4, VOID])[np.arange(len(label)) % 3]
        planted.write_label(path, np.where(label == VOID, void[:, None], values))
    lines = ["unlabelled void", *CLASSES[:3], "unknown void", *CLASSES[3:]]
    (folder / "classes.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model(len(CLASSES)).save(folder / "best.keras")
    LabelSet.in_voc_colors(CLASSES).save(folder / "labels.json")
    return folder


def first_batch(folder):
    examples, label_set = open_dataset("voc", folder, "train")
    encoding = label_encoding("voc", folder)
    options = {"num_classes": label_set.num_classes, "batch_size": 6, "crop_size": 65}
    return next(iter(training_batches(examples, encoding=encoding, **options)))


def test_batches(plain, marked):
    labels = [first_batch(folder)["label"].numpy() for folder in (plain, marked)]
    np.testing.assert_array_equal(*labels)
    assert set(np.unique(labels[0])) == {*range(len(CLASSES)), VOID}


def test_check(plain, marked, tmp_path):
    reports = []
    for folder in (plain, marked):
        path = tmp_path / f"{folder.name}.json"
        done = run_tool("check_data", f"--data_dir={folder}", f"--json_out={path}")
        assert done.status == 0, done.err
        reports.append(json.loads(path.read_text()))
    assert reports[0] == reports[1] and reports[0]["findings"] == []


def test_evaluation_and_predictions(plain, marked, model_dir, tmp_path):
    scores, predictions = [], []
    for folder in (plain, marked):
        path, out = tmp_path / f"{folder.name}.json", tmp_path / folder.name
        tool = [f"--model={model_dir}", f"--data_dir={folder}", f"--json_out={path}"]
        picture = f"--panel_out={tmp_path / 'panel.png'}"
        done = run_tool("evaluate", *tool, f"--predictions_out={out}", picture)
        assert done.status == 0, done.err
        assert "warning" not in done.out
        scores.append(json.loads(path.read_text()))
        predictions.append(load_label(out / "val_0000.png", len(CLASSES)))
    assert scores[0] == scores[1]
    np.testing.assert_array_equal(*predictions)


def test_prepared_data(plain, marked, tmp_path):
    done = run_tool(
        "prepare_data", "--dataset=folder", f"--voc_dir={marked}", f"--data_dir={tmp_path}"
    )
    assert done.status == 0, done.err
    prepared, label_set = open_dataset("folder", tmp_path, "train")
    assert label_set.names == CLASSES and label_encoding("folder", tmp_path) is None
    for example, other in zip(prepared, open_dataset("voc", plain, "train")[0], strict=True):
        labels = [load_pair(one, len(CLASSES))[1] for one in (example, other)]
        np.testing.assert_array_equal(*labels)
