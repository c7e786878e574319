"""The lines at the end of a command: which files it wrote, and what comes next."""

import shlex

import pytest

from deeplab_tf.commands.outputs import command_line, print_next, print_written, training_flags


def test_the_next_command_is_what_the_shell_takes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/usr/bin/deeplab-tf", "train"])
    print_next("search-crf", "--model=my run's", "--limit=3")
    line = capsys.readouterr().out
    words = shlex.split(line.removeprefix("next: "))
    assert words == ["deeplab-tf", "search-crf", "--model=my run's", "--limit=3"]


@pytest.mark.parametrize(
    ("started_as", "begins"),
    [
        ("tools/train.py", "python tools/search_crf.py --model=m"),
        ("/repo/tools/train.py", "python /repo/tools/search_crf.py --model=m"),
        ("/usr/bin/deeplab-tf", "deeplab-tf search-crf --model=m"),
        ("commands/__main__.py", "deeplab-tf search-crf --model=m"),
    ],
)
def test_it_has_the_form_of_the_command_before(monkeypatch, started_as, begins):
    monkeypatch.setattr("sys.argv", [started_as])
    assert command_line("search-crf", "--model=m") == begins


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
