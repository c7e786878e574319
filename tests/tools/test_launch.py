"""What happens before TensorFlow is imported, in processes of their own without TensorFlow."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tool_runner import TOOLS

from deeplab_tf import __version__
from deeplab_tf.commands.names import COMMANDS


def start(script, *arguments, tensorflow="raise AssertionError('imported')", folder):
    """Run a script of tools/ with a TensorFlow that consists of one statement."""
    (folder / "tensorflow.py").write_text(tensorflow)
    environment = {**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, TOOLS / script, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_command_all_are_listed(tmp_path):
    done = start("launch.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name, sentence in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(sentence)}$", done.stdout, re.MULTILINE)
        assert sentence.endswith(".")


def test_the_version(tmp_path):
    done = start("launch.py", "--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"deeplab-tf {__version__}\n")


def test_an_unknown_command_is_one_line(tmp_path):
    done = start("launch.py", "trian", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: unknown command 'trian'; available: {', '.join(COMMANDS)}\n"


def test_interrupted_while_tensorflow_is_imported(tmp_path):
    done = start("predict.py", tensorflow="raise KeyboardInterrupt", folder=tmp_path)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "error: interrupted\n")


def test_other_errors_keep_their_trace(tmp_path):
    done = start("predict.py", tensorflow="raise ValueError('ours')", folder=tmp_path)
    assert "Traceback" in done.stderr and "ValueError: ours" in done.stderr


@pytest.mark.parametrize(("script", "held"), [("train.py", True), ("evaluate.py", False)])
def test_sigterm_is_held_while_a_training_starts(tmp_path, script, held):
    text = "import signal; raise ValueError(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    done = start(script, tensorflow=text, folder=tmp_path)
    assert (signal.SIGTERM.name in done.stderr.splitlines()[-1]) == held


def test_notices_of_tensorflow_are_hidden(tmp_path):
    text = "import os; os.write(2, b'notice'); raise KeyboardInterrupt"
    assert start("train.py", tensorflow=text, folder=tmp_path).stderr == "error: interrupted\n"


def test_every_command_has_its_script():
    scripts = {path.stem.replace("_", "-") for path in Path(TOOLS).glob("[!_]*.py")}
    assert scripts == {*COMMANDS, "launch"}
