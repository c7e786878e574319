"""What the commands take from a training's run.json, and what they refuse because of it."""

import json
import shutil

import pytest
from absl import flags as absl_flags

from deeplab_tf.commands import evaluate, predict, train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.recall import (
    check_same_data,
    not_remembered,
    recall_for_model,
    recall_training,
)
from deeplab_tf.commands.runs import RUN_FILE, Run
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

LABEL_SET = LabelSet.generic(4)


def parsed(module, *words):
    flags = absl_flags.FlagValues()
    module.define_flags(flags)
    parse_flags(flags, words)
    return flags


@pytest.fixture
def folder(tmp_path):
    """A run on a data set in `tmp_path / "data"`, with a checkpoint and a network."""
    (tmp_path / "data").mkdir()
    folder = tmp_path / "run"
    flags = parsed(
        train, f"--data_dir={tmp_path / 'data'}", f"--model_dir={folder}", "--dataset=camvid",
        "--backbone=vgg16", "--head=large_fov", "--scales=1,0.5", "--steps=9", "--nomirror",
        "--val_split=test", "--test_pad_to=33",
    )  # fmt: skip
    splits = {"train": [1, 2], "test": [3]}
    Run.of_training(flags, {}, splits, LABEL_SET).save(folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "checkpoint").touch()
    (folder / "checkpoints" / "step-1.index").touch()
    (folder / "best.keras").touch()
    return folder


def recalled(folder, *words):
    return recall_training(parsed(train, f"--model_dir={folder}", *words), train.define_flags)


def test_a_training_goes_on_with_its_flags(folder, tmp_path, capsys):
    words = recalled(folder, "--steps=20")
    flags = parsed(train, *words, f"--model_dir={folder}", "--steps=20")
    assert (flags.data_dir, flags.dataset) == (str(tmp_path / "data"), "camvid")
    assert (flags.steps, flags.mirror, flags.backbone) == (20, False, "vgg16")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"from {folder / RUN_FILE}: ")
    assert "--nomirror" in line and "--backbone=vgg16" in line and "--steps" not in line


@pytest.mark.parametrize(
    ("word", "had"),
    [
        ("--backbone=resnet101", "--backbone=vgg16"),
        ("--output_stride=16", "--output_stride=8"),
        ("--scales=1", "--scales=1,0.5"),
        ("--dataset=voc", "--dataset=camvid"),
        ("--train_split=trainval", "--train_split=train"),
        ("--multi_scale_features", "--nomulti_scale_features"),
        ("--init_from=other.keras", "no --init_from"),
        ("--weights=none", "--weights=imagenet"),
        ("--crf_train", "--nocrf_train"),
    ],
)
def test_another_network_or_data_set_is_refused(folder, word, had):
    with pytest.raises(InputError) as error:
        recalled(folder, word)
    assert str(error.value) == (
        f"{word}: the run in {folder} has {had}; leave the flag out to continue this run, or "
        "give another --model_dir to start a new one"
    )


def test_the_same_settings_in_other_words_are_not_refused(folder):
    assert recalled(folder, "--scales=1.0,.5", "--backbone=vgg16", "--nomulti_scale_features")


def test_before_the_first_checkpoint_a_complete_command_starts_anew(folder, tmp_path):
    shutil.rmtree(folder / "checkpoints")
    assert recalled(folder, f"--data_dir={tmp_path / 'data'}", "--backbone=resnet101") == []
    assert "--backbone=vgg16" in recalled(folder)


def test_a_folder_without_memory(tmp_path):
    with pytest.raises(InputError, match=r"--data_dir is required: .*new has no run\.json"):
        recalled(tmp_path / "new")
    assert recalled(tmp_path / "new", "--data_dir=d") == []


def test_a_data_set_that_is_gone(folder, tmp_path):
    (tmp_path / "data").rmdir()
    with pytest.raises(InputError, match=r"data: no such folder, .* new place by --data_dir"):
        recalled(folder)
    assert recalled(folder, "--data_dir=elsewhere")
    with pytest.raises(InputError, match=r"data: no such folder, .* new place by --data_dir"):
        recall_for_model(parsed(evaluate, f"--model={folder}"))


def test_a_flag_that_is_no_longer_known(folder):
    content = json.loads((folder / RUN_FILE).read_text())
    content["flags"].append("--abolished=3")
    (folder / RUN_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"run\.json: unknown flag --abolished"):
        recalled(folder)


def test_going_on_elsewhere_with_the_same_data_only(folder, tmp_path):
    def check(place, images, label_set):
        flags = parsed(train, f"--model_dir={folder}", f"--data_dir={tmp_path / place}")
        check_same_data(flags, {"train": images}, label_set)

    other_names = LabelSet.in_voc_colors(("a", "b", "c", "d"))
    check("data", [1, 2, 3], other_names)  # images and names of a data set may be mended
    check("moved", [1, 2], LABEL_SET)
    for place, images, label_set, said in (
        ("data", [1, 2], LabelSet.generic(5), "has 5 classes, but the run in .* with 4"),
        ("moved", [1, 2, 3], LABEL_SET, "has 3 images in train, but .* with 2"),
        ("moved", [1, 2], other_names, "has a, b, c, d as classes, but .* class 0"),
    ):
        with pytest.raises(InputError, match=f"{said}.*; give the data set of the run"):
            check(place, images, label_set)


def test_what_other_commands_take(folder, tmp_path, capsys):
    for model in (folder, folder / "best.keras"):
        words = recall_for_model(parsed(evaluate, f"--model={model}"))
        data = [f"--data_dir={tmp_path / 'data'}", "--split=test"]
        assert words == ["--dataset=camvid", *data, "--pad_to=33"]
        assert capsys.readouterr().out == f"from {folder / RUN_FILE}: {' '.join(words)}\n"
    out = f"--out_dir={tmp_path}"
    assert recall_for_model(parsed(predict, f"--model={folder}", out)) == ["--pad_to=33"]
    assert recall_for_model(parsed(predict, f"--model={folder}", out, "--pad_to=9")) == []


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["--split=val"], ["dataset", "data_dir", "pad_to"]),
        (["--dataset=camvid"], ["data_dir", "split", "pad_to"]),
        (["--data_dir=prepared"], ["dataset", "split", "pad_to"]),
        (["--data_dir=plain"], ["pad_to"]),  # no prepared camvid there: a folder in VOC layout
        (["--dataset=voc", "--data_dir=plain"], ["pad_to"]),
    ],
)
def test_what_is_given_comes_first(folder, tmp_path, monkeypatch, given, taken):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prepared" / "camvid").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    words = recall_for_model(parsed(evaluate, f"--model={folder}", *given))
    assert [word.removeprefix("--").partition("=")[0] for word in words] == taken


def test_another_data_set_needs_its_folder(folder):
    with pytest.raises(InputError, match="--data_dir is required with --dataset=voc"):
        recall_for_model(parsed(evaluate, f"--model={folder}", "--dataset=voc"))


def test_a_model_without_memory(folder):
    (folder / RUN_FILE).unlink()
    with pytest.raises(InputError, match=r"--data_dir is required: .*run has no run\.json"):
        recall_for_model(parsed(evaluate, f"--model={folder}"))
    assert recall_for_model(parsed(evaluate, f"--model={folder}", "--data_dir=d")) == []


def test_the_next_command_repeats_only_what_is_not_remembered(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset=camvid", "--data_dir=data", "--split=train", "--flip", "--pad_to=33"]
    flags = parsed(evaluate, f"--model={folder}", *words)
    names = "dataset", "data_dir", "split", "flip", "pad_to", "scales"
    assert not_remembered(flags, names) == ["--split=train", "--flip"]
    (folder / RUN_FILE).unlink()
    assert not_remembered(flags, names) == words
