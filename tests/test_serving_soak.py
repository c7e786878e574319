"""The soak of an exported model, in a short mode: a process of TensorFlow alone serves it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_model import random_model

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_short_soak(tmp_path):
    random_model().save(tmp_path / "model.keras")
    script = ROOT / "benchmarks" / "serving_soak.py"
    # So short a time says nothing of the growth of memory.
    flags = f"--model={tmp_path / 'model.keras'}", "--minutes=0.3", "--growth=9", "--threads=2"
    done = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    served, refused, bad = map(
        int, re.search(r"served (\d+), refused (\d+) of (\d+) bad", done.stdout).groups()
    )
    assert served > 0 and refused == bad > 0
    assert float(re.search(r"equal labels: ([\d.]+)%", done.stdout)[1]) >= 99.9
