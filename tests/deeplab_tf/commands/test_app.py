"""Running commands by name, from Python and with one-line errors."""

import importlib
import re

import pytest
from absl import flags
from tool_runner import run_tool

from deeplab_tf.commands import run
from deeplab_tf.commands.app import main
from deeplab_tf.commands.names import COMMANDS
from deeplab_tf.errors import InputError


def test_a_command_can_be_called_from_python(capsys):
    run(["configs", "demo"])
    assert "--dataset=synthetic" in capsys.readouterr().out
    with pytest.raises(InputError, match="unknown command 'trian'; available: train, evaluate"):
        run(["trian"])
    with pytest.raises(InputError, match="--model is required; see --help"):
        run(["export", "--out=x"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("a: cannot be read;\n fix it"), "error: a: cannot be read;\\n fix it\n"),
        (FileNotFoundError(2, "No such file", "b"), "error: [Errno 2] No such file: 'b'\n"),
        (
            FileExistsError(17, "File exists", "out"),
            "error: out: a file is where a folder is needed; give another name\n",
        ),
        (
            NotADirectoryError(20, "Not a directory", "out/labels"),
            "error: out/labels: a file is where a folder is needed; give another name\n",
        ),
        (KeyboardInterrupt(), "error: interrupted\n"),
        (
            OSError(28, "No space left on device", "out/a.png"),
            "error: out/a.png: No space left on device; make room there, or give another folder\n",
        ),
        (
            OSError(30, "Read-only file system", "out"),
            "error: out: Read-only file system; give a folder that can be written\n",
        ),
        (
            MemoryError("array of 3 GB"),
            "error: out of memory (array of 3 GB): free memory, or use smaller images or batches\n",
        ),
        (
            RuntimeError("can't start new thread"),
            "error: out of memory (can't start new thread): free memory, or use smaller images or "
            "batches\n",
        ),
    ],
)
def test_errors_of_the_user_are_one_line(monkeypatch, capsys, error, message):
    def fail(flags, names):
        raise error

    monkeypatch.setattr("deeplab_tf.commands.configs.main", fail)
    assert main(["configs"]) == 1
    assert capsys.readouterr().err == message


def test_other_errors_keep_their_trace(monkeypatch):
    monkeypatch.setattr("deeplab_tf.commands.configs.main", lambda flags, names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["configs"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_flags_of_the_command_alone(name):
    done = run_tool(name, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: deeplab-tf {name} [--FLAG=VALUE ...]")
    for foreign in ("absltest", "tpu_", "test_srcdir", "logtostderr", "helpfull"):
        assert foreign not in done.out
    assert ("--crop_size=INTEGER" in done.out) == (name == "train")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_flag_once_under_a_heading(name):
    values = flags.FlagValues()
    module = importlib.import_module(f"deeplab_tf.commands.{name.replace('-', '_')}")
    module.define_flags(values)
    text = run_tool(name, "--help").out
    body = text.partition(module.__doc__.strip())[2]
    shown = re.findall(r"^  --(?:\[no\])?(\w+)", body, re.MULTILINE)
    assert sorted(shown) == sorted([*values, "flagfile"])
    headings = re.findall(r"^(\w.*):$", body, re.MULTILINE)
    assert headings == [*values.flags_by_module_dict(), "Files with flags"]
    assert not any(heading.startswith(("absl", "__main__", "deeplab_tf")) for heading in headings)


def test_two_commands_do_not_share_flags():
    run_tool("check-data", "--data_dir=absent", "--json_out=x")
    assert "unknown flag --json_out" in run_tool("export", "--json_out=x").error
    assert "--data_dir is required" in run_tool("check-data").error
