"""`make bench` runs each benchmark that needs no flags."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_make_bench_runs_every_script_without_a_required_flag():
    (listed,) = re.findall(r"for script in ([^;]+);", (ROOT / "Makefile").read_text())
    sources = {path.stem: path.read_text() for path in (ROOT / "benchmarks").glob("*.py")}
    scripts = {
        name
        for name, source in sources.items()
        if f"\n    python benchmarks/{name}.py" in source and "required=True" not in source
    } - {"crf_gpu"}  # ends with an error where there is no GPU
    assert {*listed.replace("\\", "").split()} == scripts


@pytest.mark.slow
def test_the_crf_is_right_with_xla_and_mixed_precision():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "crf_gpu.py", "--check_on_cpu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("lattice, mixed precision", "lattice, pruned, strips", "xla, mixed precision"):
        assert f"\n{name}  " in done.stdout
