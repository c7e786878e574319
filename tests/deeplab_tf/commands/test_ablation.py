"""The ablation continues where it was stopped, and its table is right."""

import json
import subprocess
import types

import numpy as np
import pytest
from tool_runner import run_tool

from deeplab_tf.commands import table_runs
from deeplab_tf.commands.ablation import DECODER_ROWS, ROWS, measures, orders, table
from deeplab_tf.commands.table_runs import run_command
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.errors import InputError


def test_table_by_hand():
    results = {
        "large_fov": np.array([[40.0, 41.0], [42.0, 44.0]]),
        "aspp_s": np.array([[43.0, 43.5], [43.0, 44.5]]),
    }
    assert table(results).splitlines()[2:] == [
        "| LargeFOV | 41.00 ± 1.00 | 42.50 ± 1.50 | +0.00 ± 0.00 | +1.50 ± 0.50 |",
        "| ASPP-S | 43.00 ± 0.00 | 44.00 ± 0.50 | +2.00 ± 1.00 | +1.00 ± 0.50 |",
    ]


def test_orders_by_hand():
    results = {
        "large_fov": np.array([[40.0, 41.0], [42.0, 42.5]]),
        "step": np.array([[41.0, 41.0], [43.0, 42.0]]),
        "aspp_s": np.array([[43.0, 42.0], [42.0, 43.0]]),
    }
    assert orders(results).splitlines()[2:] == [
        "- LargeFOV over LargeFOV, step policy: reversed by every seed",
        "- ASPP-S over LargeFOV: within the spread of the seeds",
        "- LargeFOV gains by the CRF: shown by every seed",
        "- LargeFOV, step policy gains by the CRF: within the spread of the seeds",
        "- ASPP-S gains by the CRF: within the spread of the seeds",
    ]


def test_fewer_filters_lose_nothing():
    """The papers' claim is that 1,024 filters are as good as 4,096, not that they are better."""

    def line(narrow, wide):
        both = {"narrow": narrow, "wide": wide}
        results = {row: np.array([[value, 50.0] for value in both[row]]) for row in both}
        (found,) = (text for text in orders(results).splitlines() if "no loss" in text)
        start = "- LargeFOV, fc6 and fc7 of 1,024 filters: no loss against LargeFOV, fc6 and fc7 "
        return found.removeprefix(f"{start}of 4,096 filters: ")

    assert line([40.0, 41.0], [40.0, 40.5]) == "shown by every seed"
    assert line([40.0, 41.0], [40.0, 41.5]) == "within the spread of the seeds"
    assert line([39.0, 41.0], [40.0, 41.5]) == "reversed by every seed"


def scored(folder, before, after, images=62):
    folder.mkdir(parents=True)
    settings = {"split": "val", "skip": 0, "images": images}
    content = {"miou": before, "crf": {"miou": after}, "settings": settings}
    for part in (content, content["crf"]):
        part["boundary_miou"] = part["miou"] / 2
        part["per_class_iou"] = {
            "pole": part["miou"] / 4,
            "bicyclist": 0.01,
            "sky": 1,
            "sign": None,
        }
    (folder / "scores.json").write_text(json.dumps(content))


def test_scored_runs_are_not_repeated(tmp_path):
    for index, row in enumerate(ROWS):
        scored(tmp_path / "runs" / f"{row}-7", 0.3 + index / 100, 0.4)
    out = tmp_path / "table.md"
    done = run_tool(
        "ablation", "--data_dir=absent", f"--runs_dir={tmp_path / 'runs'}", "--seeds=7",
        f"--out={out}", f"--weights={tmp_path / 'lite0.h5'}",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "| ASPP-L | 32.00 | 40.00 | +2.00 | +8.00 |" in out.read_text()


def test_the_default_page_and_its_scores(tmp_path, monkeypatch):
    """Where the docs have them, with everything that repeats the figures and without folders."""
    monkeypatch.chdir(tmp_path)
    for index, row in enumerate(ROWS):
        for seed in (3, 5):
            scored(tmp_path / "runs" / "ablation" / f"{row}-{seed}", 0.3 + index / 100, 0.4)
    done = run_tool(
        "ablation", f"--data_dir={tmp_path / 'absent'}", f"--weights={tmp_path / 'lite0.h5'}",
        "--seeds=3,5", "--train_flag=--steps=90", "--train_flag=--batch_size=4",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "wrote docs/ablation_table.md, docs/results/ablation.json" in done.out
    page = (tmp_path / "docs" / "ablation_table.md").read_text()
    words = "--train_flag=--steps=90 --train_flag=--batch_size=4"
    command = f"deeplab-tf ablation --data_dir=DATA_DIR --weights=lite0.h5 --seeds=3,5 {words}"
    assert [part.replace("\n", " ") for part in page.split("\n\n")[:3]] == [
        "What each part of DeepLab v1 and v2 contributes, one change at a time, printed by",
        f"    {command}",
        "The system is `msrc21_ablation`: efficientnetlite0, large_fov, output stride 8, 90 steps "
        "of 4 crops of 161x161 pixels. Every network is trained with each of the seeds 3, 5, and "
        "scored after its last step on 62 images of the list val, in percent; a figure is the mean "
        "over the seeds ± half of their range. [ablation.json](results/ablation.json) has all "
        "scores of every run, and the flags in which the training of its row differs.",
    ]
    content = json.loads((tmp_path / "docs" / "results" / "ablation.json").read_text())
    assert content["command"] == command
    assert (content["system"], content["images"]) == (
        "msrc21_ablation",
        "62 images of the list val",
    )
    assert [(run["row"], run["seed"]) for run in content["runs"][:3]] == [
        ("large_fov", "3"),
        ("large_fov", "5"),
        ("aspp_s", "3"),
    ]
    run = content["runs"][4]
    assert (run["title"], run["flags"]) == ("ASPP-L", ["--head=aspp_l"])
    assert run["scores"] == json.loads(
        (tmp_path / "runs" / "ablation" / "aspp_l-3" / "scores.json").read_text()
    )


def test_weights_are_required():
    done = run_tool("ablation", "--data_dir=absent")
    assert "--weights is required" in done.error


def test_the_table_of_the_decoder(tmp_path):
    """Near borders and in thin classes, too; runs of another system are kept apart."""
    runs = tmp_path / "runs"
    for index, row in enumerate(DECODER_ROWS):
        for seed, more in ((1, 0), (2, 0.02)):
            scored(runs / f"camvid_small-{row}-{seed}", 0.3 + index / 100 + more, 0.4)
    flags = ["--table=decoder", "--system=camvid_small", "--seeds=1,2", f"--runs_dir={runs}"]
    done = run_tool("ablation", "--data_dir=absent", "--weights=imagenet", *flags)
    assert done.status == 0, done.err
    page = (runs / "camvid_small_decoder.md").read_text()
    subject, _, about, text = page.split("\n\n", 3)
    assert subject == "LargeFOV and ASPP beside the heads of v3 and v3+, printed by"
    assert "[camvid_small_decoder.json](camvid_small_decoder.json)" in about
    lines = text.splitlines()
    assert lines[0].startswith("| | mean IoU | with the CRF | against LargeFOV |")
    numbers = "34.00 ± 1.00 | 40.00 ± 0.00 | +3.00 ± 0.00 | +6.00 ± 1.00"
    assert lines[5] == f"| v3+: ASPP of v3 and decoder | {numbers} |"
    assert lines[9] == "- ASPP-L over LargeFOV: shown by every seed"
    assert lines[17].startswith("| | boundary IoU |")
    assert lines[20].startswith("| ASPP-L | 16.00 ± 0.50 | 20.00 ± 0.00 | +0.50 ± 0.00 |")
    assert lines[34].startswith("| | mean IoU of pole, bicyclist |")
    assert lines[36].startswith("| LargeFOV | 4.38 ± 0.12 | 5.50 ± 0.00 |")


def test_thin_classes_are_left_out_where_there_are_none():
    content = {"miou": 0.5, "boundary_miou": 0.25, "per_class_iou": {"sky": 0.5}}
    assert measures(content, "decoder") == {"mean IoU": 50, "boundary IoU": 25}
    assert measures(content, "parts") == {"mean IoU": 50}


@pytest.mark.slow
def test_a_failed_run_is_one_line(tmp_path):
    flags = [f"--data_dir={tmp_path / 'absent'}", f"--runs_dir={tmp_path / 'runs'}"]
    flags.append("--weights=none")
    done = run_tool("ablation", *flags, f"--out={tmp_path / 'table.md'}")
    assert "train: " in done.error and "absent" in done.error
    assert not (tmp_path / "table.md").exists()


def test_a_stopped_training_is_an_error_although_its_status_is_0(tmp_path, monkeypatch):
    def stop(command, stdout, **options):
        stdout.write("stopped by SIGTERM after step 2 of 9: go on\nnext: deeplab-tf train ...\n")
        stdout.flush()
        return subprocess.CompletedProcess(command, 0)

    def end(command, stdout, **options):
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", stop)
    with pytest.raises(InputError, match="train: stopped by SIGTERM after step 2 of 9: go on"):
        run_command(tmp_path / "log", "train")
    monkeypatch.setattr(subprocess, "run", end)
    run_command(tmp_path / "log", "train")  # what an earlier one wrote does not count


def test_flags_of_the_table_reach_train_and_evaluate(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(table_runs, "run_command", lambda log, *words: found.append(words))
    flags = types.SimpleNamespace(data_dir="d", limit=3, evaluate_flag=["--crf_w1=9"])
    table_runs.train_and_evaluate(tmp_path / "run", ["--seed=5"], flags)
    train, evaluate = found
    assert train == ("train", "--seed=5", f"--model_dir={tmp_path / 'run'}")
    assert evaluate[:3] == ("evaluate", f"--model={tmp_path / 'run' / 'last.keras'}", "--crf")
    assert evaluate[4:] == ("--data_dir=d", "--crf_w1=9", "--limit=3")


@pytest.mark.slow
def test_two_steps_of_every_row(tmp_path):
    write_synthetic(tmp_path / "data", num_train=4, num_val=2, size=(128, 128))
    flags = [f"--data_dir={tmp_path / 'data'}", f"--runs_dir={tmp_path / 'runs'}", "--seeds=0"]
    flags += ["--weights=none", "--limit=1"]
    flags += [f"--train_flag={flag}" for flag in ("--steps=2", "--batch_size=2", "--crop_size=65")]
    done = run_tool("ablation", *flags, f"--out={tmp_path / 'table.md'}")
    assert done.status == 0, done.err
    text = (tmp_path / "table.md").read_text().split("\n\n")[-1]
    assert len(text.splitlines()) == 2 + len(ROWS)
    runs = json.loads((tmp_path / "table.json").read_text())["runs"]
    assert all(run["scores"]["settings"]["images"] == 1 for run in runs)
    done = run_tool("ablation", *flags, "--table=decoder", f"--out={tmp_path / 'decoder.md'}")
    assert done.status == 0, done.err
    assert (tmp_path / "decoder.md").read_text().count("v3+: ASPP of v3 and decoder") == 2
