"""The wheel holds the trained networks with their cards, and the flagfiles."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deeplab_tf.pretrained import SUMS, pretrained_names

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("crf", "deeplab_tf", "configs", "tools")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
NETWORKS = "deeplab_tf/pretrained/"
MOST_BYTES = 12e6  # of a network


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without network from a copy of the sources, which stay as they are."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", out, copy]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("deeplab_tf-*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


@pytest.mark.slow
def test_the_networks_are_in_the_wheel(wheel):
    sums = wheel.read(NETWORKS + SUMS).decode()
    assert {"camvid", "msrc21"} <= set(pretrained_names())
    for name in pretrained_names():
        network = wheel.read(f"{NETWORKS}{name}.npz")
        assert len(network) <= MOST_BYTES, name
        assert f"{hashlib.sha256(network).hexdigest()}  {name}.npz\n" in sums, name
        card = (ROOT / NETWORKS / f"{name}.md").read_bytes()
        assert wheel.read(f"{NETWORKS}{name}.md") == card, name


@pytest.mark.slow
def test_the_flagfiles_and_commands_are_in_the_wheel(wheel):
    names = set(wheel.namelist())
    flagfiles = {f"deeplab_tf/configs/{path.name}" for path in (ROOT / "configs").glob("*.flags")}
    assert flagfiles and flagfiles <= names
    assert {"crf/py.typed", "deeplab_tf/py.typed", "deeplab_tf_tools/launch.py"} <= names
    (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    assert "deeplab-tf = deeplab_tf_tools.launch:main" in wheel.read(entries).decode()
