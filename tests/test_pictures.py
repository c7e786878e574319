"""The page docs/pictures.md: every picture exists, is small, and has its command under it."""

import re
import shlex
from pathlib import Path

import pytest
from absl import flags
from PIL import Image

from deeplab_tf.commands.figures import USES, define_flags, recall
from deeplab_tf.commands.parsing import parse_flags

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "pictures.md").read_text(encoding="utf-8")
# {picture: the text from it to the next picture or heading}
SECTIONS = dict(re.findall(r"^!\[[^\]]+\]\((.+?)\)\n(.+?)(?=^!\[|^## |\Z)", PAGE, re.M | re.S))


def test_every_figure_is_on_the_page_and_nothing_else_is_in_the_folder():
    assert list(SECTIONS) == [f"pictures/{figure}.png" for figure in USES]
    files = {f"pictures/{path.name}" for path in (DOCS / "pictures").iterdir()}
    assert files == set(SECTIONS)


@pytest.mark.parametrize("picture", SECTIONS)
def test_the_command_under_a_picture_draws_it(picture):
    paragraph, command = re.match(r"\s*(.+?)\n\n```\n(.+?)\n```", SECTIONS[picture], re.S).groups()
    assert "DeepLab v" in paragraph  # the paper's section or figure
    program, name, *arguments = shlex.split(command.replace("\\\n", " "))
    assert (program, name) == ("deeplab-tf", "figures")
    values = flags.FlagValues()
    define_flags(values)
    images = parse_flags(values, arguments)
    assert values.out == f"docs/{picture}"
    assert Path(picture).stem == values.figure
    assert len(images) <= 1
    if values.figure not in ("failures", "beliefs"):  # these need a network
        recall(values)  # refuses flags that the figure does not use


@pytest.mark.parametrize("picture", SECTIONS)
def test_a_picture_is_small(picture):
    path = DOCS / picture
    assert path.stat().st_size < 150_000
    with Image.open(path) as opened:
        opened.load()
        assert opened.width == 800


def test_all_pictures_together_are_small():
    assert sum((DOCS / picture).stat().st_size for picture in SECTIONS) < 1_000_000
