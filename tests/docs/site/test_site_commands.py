"""The pages of the commands."""

import importlib

import pytest
from absl import flags
from site_commands import command_pages, prose

from deeplab_tf.commands.names import COMMANDS


@pytest.fixture(scope="module")
def pages():
    return command_pages()


def test_there_is_a_page_for_each_command_and_a_list(pages):
    assert list(pages) == ["commands/index.md", *(f"commands/{name}.md" for name in COMMANDS)]
    for name, sentence in COMMANDS.items():
        assert f"| [{name}]({name}.md) | {sentence} |" in pages["commands/index.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_flag_with_its_help(pages, name):
    values = flags.FlagValues()
    importlib.import_module(f"deeplab_tf.commands.{name.replace('-', '_')}").define_flags(values)
    page = pages[f"commands/{name}.md"]
    assert f"\ndeeplab-tf {name} [--FLAG=VALUE ...]" in page
    for flag in values:
        term = f"`--[no]{flag}`" if values[flag].boolean else f"`--{flag}="
        assert page.count(f"\n\n{term}") == 1
    assert "\n\n`--flagfile=FILE`\n:   Read flags from a file" in page


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("Needs --data_dir, see --help.", "Needs `--data_dir`, see `--help`."),
        ("--scales=0.5,1 or 2*3_4", r"`--scales=0.5,1` or 2\*3\_4"),
        ("a `deeplab-tf models` b", "a `deeplab-tf models` b"),
        ("<DIR> [x]", r"\<DIR> \[x\]"),
        ("see docs/crf.md.", "see [The fully connected CRF](../crf.md)."),
        ("a well-known--word", "a well-known--word"),
        ("the --crf_* flags", "the `--crf_*` flags"),
    ],
)
def test_help_texts_as_markdown(text, markdown):
    assert prose(text) == markdown
