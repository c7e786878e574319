"""The lines at the end of a command: which files it wrote, and what comes next."""

import shlex

import pytest

from deeplab_tf.commands.outputs import command_line, print_next, print_written, training_flags


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


def test_how_to_train_on_a_data_set(monkeypatch, tmp_path):
    assert training_flags("voc", "data/Streets", "train", "val") == [
        "--dataset=voc", "--data_dir=data/Streets", "--train_split=train",
        "--model_dir=runs/Streets",
    ]  # fmt: skip
    assert training_flags("camvid", "data", "train", "test")[3:] == [
        "--val_split=test", "--model_dir=runs/camvid",
    ]  # fmt: skip
    assert training_flags("camvid", "data", "train", None)[3:] == [
        "--model_dir=runs/camvid", "--eval_images=0",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert f"--model_dir=runs/{tmp_path.name}" in training_flags("voc", ".", "train", "val")
