"""A page for each command, from the definitions of its flags."""

import importlib
import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from absl import flags
from site_links import link_pages

from deeplab_tf.commands.names import COMMANDS
from deeplab_tf.commands.parsing import FLAGFILE, describe_flag


def command_pages():
    """The pages of the commands.

    Returns:
      dict from the path on the site to the page, both str; the first is the list of all.
    """
    rows = [f"| [{name}]({name}.md) | {sentence} |" for name, sentence in COMMANDS.items()]
    overview = "# Commands\n\n`deeplab-tf COMMAND --help` prints what these pages say.\n\n"
    pages = {"commands/index.md": overview + "\n".join(["| command | |", "|---|---|", *rows])}
    for name in COMMANDS:
        module = importlib.import_module(f"deeplab_tf.commands.{name.replace('-', '_')}")
        pages[f"commands/{name}.md"] = command_page(name, module)
    return pages


def command_page(name, module):
    """The page of a command.

    Args:
      name: of the command.
      module: its module, with `define_flags`.

    Returns:
      str: the command's docstring and all of its flags, grouped as by `--help`.
    """
    values = flags.FlagValues()
    module.define_flags(values)
    positional = getattr(module, "ARGUMENTS", "")
    usage = f"deeplab-tf {name} [--FLAG=VALUE ...] {positional}".rstrip()
    parts = [f"# {name}", f"```\n{usage}\n```"]
    parts += [
        paragraph if paragraph.startswith("    ") else prose(paragraph)
        for paragraph in module.__doc__.strip().split("\n\n")
    ]
    groups = {
        title: [describe_flag(flag) for flag in group]
        for title, group in values.flags_by_module_dict().items()
    }
    for title, entries in (groups | {"Files with flags": [FLAGFILE]}).items():
        parts += [f"## {title}", *(f"`{term}`\n:   {prose(text)}" for term, text in entries)]
    return "\n\n".join(parts)


def prose(text):
    """A help text as Markdown: flags are code, pages are links, other signs are themselves."""
    words = re.split(r"(`[^`]*`|\bdocs/\w+\.md|(?<![\w-])--\w[\w-]*\*?(?:=[\w./,*-]*\w)?)", text)
    words[1::2] = [
        link_pages(word, "commands/") if word.startswith("docs/") else f"`{word.strip('`')}`"
        for word in words[1::2]
    ]
    words[::2] = [re.sub(r"([*_<\[\]])", r"\\\1", word) for word in words[::2]]
    return "".join(words)
