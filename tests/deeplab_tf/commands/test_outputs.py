"""The lines at the end of a command: which files it wrote, and what comes next."""

import os
import shlex

import pytest

from deeplab_tf.commands.outputs import (
    check_output_files,
    command_line,
    print_next,
    print_written,
    suggested_steps,
    training_flags,
)
from deeplab_tf.errors import InputError


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """A folder on the PATH with `python`, which runs this process, and `deeplab-tf`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "deeplab-tf"):
        (folder / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.executable", str(folder / "python3"))
    return folder


def test_the_next_command_is_what_the_shell_takes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["commands/__main__.py", "train"])
    print_next("search-crf", "--model=my run's", "--limit=3")
    line = capsys.readouterr().out
    words = shlex.split(line.removeprefix("next: "))
    assert words == ["deeplab-tf", "search-crf", "--model=my run's", "--limit=3"]


@pytest.mark.parametrize(
    ("started_as", "begins"),
    [
        ("tools/train.py", "python tools/search_crf.py --model=m"),
        ("/repo/tools/train.py", "python /repo/tools/search_crf.py --model=m"),
        ("BIN/deeplab-tf", "deeplab-tf search-crf --model=m"),
        ("commands/__main__.py", "deeplab-tf search-crf --model=m"),
    ],
)
def test_it_has_the_form_of_the_command_before(monkeypatch, programs, started_as, begins):
    monkeypatch.setattr("sys.argv", [started_as.replace("BIN", str(programs))])
    assert command_line("search-crf", "--model=m") == begins


@pytest.mark.parametrize("path", ["", "/nowhere", "OTHER"])
def test_it_names_a_program_that_is_not_on_the_path(monkeypatch, programs, tmp_path, path):
    # A virtual environment that is not activated; `python` on the PATH may be another one.
    other = tmp_path / "other"
    other.mkdir()
    (other / "python").symlink_to(programs / "python")
    (other / "deeplab-tf").symlink_to(programs / "deeplab-tf")
    monkeypatch.setenv("PATH", path.replace("OTHER", str(other)))
    monkeypatch.setattr("sys.argv", ["tools/train.py"])
    assert command_line("evaluate") == f"{programs}/python3 tools/evaluate.py"
    monkeypatch.chdir(tmp_path)
    assert command_line("evaluate") == "bin/python3 tools/evaluate.py"
    monkeypatch.setattr("sys.argv", ["bin/deeplab-tf"])
    assert command_line("evaluate") == "bin/deeplab-tf evaluate"


def test_written_files_are_named(capsys):
    print_written("a", None, "", "b")
    print_written(None)
    print_written(*map(str, range(9)))
    assert capsys.readouterr().out == "wrote a, b\nwrote 0, 1, 2, 3, 4, 5 and 3 more\n"


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    check_output_files(tmp_path / "new" / "scores.json", None)
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and mode == os.W_OK)
    with pytest.raises(InputError) as caught:
        check_output_files(tmp_path / "new" / "scores.json", tmp_path / "panel.png")
    assert str(caught.value) == f"{tmp_path}: no file can be written here; give another folder"


def test_how_to_train_on_a_published_data_set():
    # `deeplab-tf configs` lists its flagfiles.
    assert training_flags("voc12_aug", "data", "train_aug", "val", 10_582) == [
        "--dataset=voc12_aug", "--data_dir=data", "--train_split=train_aug",
        "--model_dir=runs/voc12_aug",
    ]  # fmt: skip
    assert training_flags("voc12_aug", "data", "train", "test", 9)[3:] == [
        "--val_split=test", "--model_dir=runs/voc12_aug",
    ]  # fmt: skip
    assert training_flags("voc12_aug", "data", "train", None, 9)[3:] == [
        "--model_dir=runs/voc12_aug", "--eval_images=0",
    ]  # fmt: skip
    assert training_flags("synthetic", "s", "train", "val", 9)[:2] == [
        "--flagfile=demo", "--dataset=synthetic",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "run"), [("folder", "photos"), ("camvid", "camvid"), ("msrc21", "msrc21")]
)
def test_how_to_train_on_your_own_data(dataset, run):
    assert training_flags(dataset, "data", "train", "val", 40) == [
        "--flagfile=own_photos", f"--dataset={dataset}", "--data_dir=data", "--train_split=train",
        f"--model_dir=runs/{run}", "--steps=400",
    ]  # fmt: skip


def test_a_folder_in_voc_layout_names_the_run(monkeypatch, tmp_path):
    assert "--model_dir=runs/Streets" in training_flags("voc", "a/Streets", "train", "val", 40)
    monkeypatch.chdir(tmp_path)
    assert f"--model_dir=runs/{tmp_path.name}" in training_flags("voc", ".", "train", "val", 40)


def test_more_images_get_more_steps_of_which_each_sees_fewer():
    steps = [suggested_steps(count) for count in (1, 40, 100, 400, 1000, 100_000)]
    assert steps == [200, 400, 600, 1800, 4200, 5000]
