"""The table of MIL continues where it was stopped, and its rows and numbers are right."""

import json

import numpy as np
import pytest
from absl import flags as absl_flags
from tool_runner import run_tool

from deeplab_tf.commands import mil_table
from deeplab_tf.commands.mil_table import ROWS, one_class_scores, table, training_flags
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.image_files import load_classes
from deeplab_tf.data.synthetic import write_synthetic


def parsed(*words):
    values = absl_flags.FlagValues()
    mil_table.define_flags(values)
    parse_flags(values, words)
    return values


def test_table_by_hand():
    one = {"background": np.array([[3.5, 3.5]]), "mil": np.array([[25.0, 26.125]])}
    assert table(one).splitlines()[2:] == [
        "| the most frequent class everywhere | 3.50 | 3.50 |",
        "| MIL-FCN, from the classifier | 25.00 | 26.12 |",
    ]
    two = {"mil": np.array([[24.0, 25.0], [26.0, 27.0]])}
    assert table(two).splitlines()[2:] == [
        "| MIL-FCN, from the classifier | 25.00 ± 1.00 | 26.00 ± 1.00 |"
    ]


def test_scored_runs_are_not_repeated(tmp_path):
    for index, row in enumerate(ROWS):
        folder = tmp_path / f"msrc21_mil-{row}-7"
        folder.mkdir()
        content = {"miou": index / 10, "crf": {"miou": index / 5}}
        (folder / "scores.json").write_text(json.dumps(content))
    done = run_tool("mil-table", "--data_dir=absent", f"--runs_dir={tmp_path}", "--seeds=7")
    assert done.status == 0, done.err
    subject, _, about, text = (tmp_path / "msrc21_mil.md").read_text().split("\n\n")
    assert subject == "What image labels teach, and their limits, printed by"
    assert about.replace("\n", " ").startswith(
        "The system is `msrc21_mil`: efficientnetlite0, plain, output stride 16, 120 steps of 8 "
        "crops of 241x241 pixels. Every network is trained with the seed 7, and scored after its "
        "last step on images that were not recorded, in percent. [msrc21_mil.json](msrc21_mil.json)"
    )
    content = json.loads((tmp_path / "msrc21_mil.json").read_text())
    runs = {run["row"]: run for run in content["runs"]}
    assert runs["mil"]["scores"] == {"miou": 0.4, "crf": {"miou": 0.8}}
    assert runs["oracle"]["flags"] == [
        "--learning_rate=3e-4", "--noshared_classes", "--objective=pixels",
    ]  # fmt: skip
    lines = text.splitlines()
    # In the order of the paper: from the least that is known to the most.
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| the most frequent class everywhere",
        "| MIL from random weights",
        "| MIL from the classifier's body, class layer random",
        "| the classifier alone",
        "| MIL-FCN, from the classifier",
        "| EM-Adapt, from the classifier",
        "| all pixel labels, from the classifier",
    ]
    assert lines[5] == "| the classifier alone | 30.00 | 60.00 |"
    assert lines[8] == "| all pixel labels, from the classifier | 60.00 | 120.00 |"


def test_the_classifier_is_trained_before_what_starts_from_it(tmp_path, monkeypatch):
    scored, unscored = [], {"miou": 0.0, "crf": {"miou": 0.0}}
    monkeypatch.setattr(mil_table, "score", lambda flags, row, seed: scored.append(row) or unscored)
    mil_table.main(parsed("--data_dir=d", f"--runs_dir={tmp_path}"))
    assert sorted(scored) == sorted(ROWS)
    for row in ("no_classifier", "mil", "em_adapt", "oracle"):
        assert scored.index("classifier") < scored.index(row)


def test_every_row_has_its_objective_and_start(tmp_path):
    flags = parsed(
        "--data_dir=d", f"--runs_dir={tmp_path}", "--weights=w.h5", "--train_flag=--steps=2"
    )
    found = {row: training_flags(flags, row, 3) for row in ROWS if row != "background"}
    for words in found.values():
        assert words[:2] == ["--flagfile=msrc21_mil", "--data_dir=d"]
    rows = {row: words[words.index("--seed=3") :] for row, words in found.items()}
    assert all(words[:2] == ["--seed=3", "--steps=2"] for words in rows.values())
    assert found["random_weights"][2] == found["classifier"][2] == "--weights=w.h5"
    # The last counts: also in a short run, the classifier alone is not trained.
    assert rows["random_weights"][2:] == ["--weights=none", "--noshared_classes"]
    assert "--nofreeze_bn" in found["random_weights"]  # statistics of random weights are learned
    assert rows["classifier"][2:] == ["--shared_classes", "--steps=0"]
    start = f"--init_from={tmp_path / 'msrc21_mil-classifier-3' / 'last.keras'}"
    from_it = "no_classifier", "mil", "em_adapt", "oracle"
    assert [found[row][2] for row in from_it] == [start] * 4
    # The classifier's body as it is, and a class layer that knows nothing; the rest as for MIL.
    assert found["no_classifier"] == [*found["mil"], "--drop_classes"]
    # What the classifier's row has transferred stays.
    assert rows["mil"][2:] == ["--noshared_classes"]
    assert rows["em_adapt"][2:] == ["--noshared_classes", "--objective=em_adapt"]
    assert rows["oracle"][2:] == ["--noshared_classes", "--objective=pixels"]
    assert found["em_adapt"][3] == "--background_portion=0.2"
    assert found["oracle"][3] == "--learning_rate=3e-4"


def test_synthetic_forms_have_a_classifier_of_their_own(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(mil_table, "write_synthetic", lambda folder, **_: written.append(folder))
    flags = parsed("--data_dir=d", f"--runs_dir={tmp_path}", "--system=synthetic_mil")
    objects = tmp_path / "objects"
    found = training_flags(flags, "classifier", 0)
    assert found == ["--flagfile=synthetic_classifier", f"--data_dir={objects}", "--seed=0"]
    assert written == [objects]
    assert "--data_dir=d" in training_flags(flags, "mil", 0) and len(written) == 1


def test_the_most_frequent_class_everywhere(tmp_path):
    write_synthetic(tmp_path, num_train=3, num_val=2, size=(128, 128))
    flags = parsed(f"--data_dir={tmp_path}", "--system=synthetic_mil")
    examples, label_set = open_dataset("synthetic", tmp_path, "val")
    labels = np.stack([load_classes(example, label_set.num_classes) for example in examples])
    share = (labels == 0).mean()  # the background is the most frequent class of the scenes
    found = one_class_scores(flags)
    assert found["pixel_accuracy"] == pytest.approx(share)
    assert found["miou"] == pytest.approx(share / len(np.unique(labels)))
    assert found["crf"]["miou"] == found["miou"]


@pytest.mark.slow
def test_two_steps_of_every_row(tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    write_synthetic(data, num_train=4, num_val=2, size=(128, 128))
    write_synthetic(runs / "objects", num_train=4, num_val=1, size=(128, 128), num_objects=(1, 2))
    flags = [f"--data_dir={data}", f"--runs_dir={runs}", "--system=synthetic_mil", "--limit=1"]
    tiny = ("--steps=2", "--batch_size=2", "--crop_size=65", "--scale_low=1", "--scale_high=1")
    done = run_tool("mil-table", *flags, *(f"--train_flag={flag}" for flag in tiny))
    assert done.status == 0, done.err
    text = (runs / "synthetic_mil.md").read_text().split("\n\n")[-1]
    assert len(text.splitlines()) == 2 + len(ROWS)
    for row in ("no_classifier", "mil", "em_adapt", "oracle"):
        log = (runs / f"synthetic_mil-{row}-0" / "log").read_text()
        assert "synthetic_mil-classifier-0/last.keras: " in log and "layers copied" in log
        assert ("left as they were: fc8" in log) == (row == "no_classifier")


@pytest.mark.slow
def test_a_failed_run_is_one_line(tmp_path):
    flags = [f"--data_dir={tmp_path / 'absent'}", f"--runs_dir={tmp_path / 'runs'}"]
    assert "absent" in run_tool("mil-table", *flags).error
