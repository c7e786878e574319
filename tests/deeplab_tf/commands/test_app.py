import os
import subprocess
import sys

from tool_runner import TOOLS, run_tool


def test_interrupted_while_tensorflow_is_imported(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, TOOLS / "predict.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert (done.stdout, done.stderr) == ("", "error: interrupted\n")


def test_other_defects_keep_their_trace(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ValueError('ours')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, TOOLS / "predict.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" in done.stderr and "ValueError: ours" in done.stderr


def test_home_is_expanded_in_flags(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    error = run_tool("check_data", "--data_dir=~/data").error
    assert error.startswith(f"error: {tmp_path / 'home' / 'data'}: ")
    error = run_tool("check_data", "--data_dir=~nobody_at_all/data").error
    assert error.startswith("error: ~nobody_at_all/data: ")
