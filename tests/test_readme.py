"""README's table "Where is what" names what exists, and leaves out no folder of the sources."""

import re
from pathlib import Path

import pytest

from deeplab_tf.models import backbone_names

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "README.md").read_text().partition("## Where is what")[2].partition("\n## ")[0]
ROWS = [line.split("|")[1:3] for line in TABLE.splitlines() if line.startswith("| `")]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_first_column_exists():
    assert len(ROWS) > 10
    missing = [name for cell, _ in ROWS for name in names(cell) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize(("folders", "text"), ROWS)
def test_files_of_the_second_column_are_in_one_of_the_folders(folders, text):
    for name in (name for name in names(text) if name.endswith(".py")):
        assert any((ROOT / folder / name).is_file() for folder in names(folders)), name


def test_every_folder_of_the_sources_has_a_row():
    listed = {name.rstrip("/") for cell, _ in ROWS for name in names(cell)}
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("crf", "deeplab_tf", "tools")
        for path in (ROOT / package).rglob("*.py")
    }
    folders -= {"deeplab_tf", "deeplab_tf/commands/flags"}
    assert folders <= listed


def test_the_number_of_backbones():
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"any of {len(backbone_names())} networks" in text
