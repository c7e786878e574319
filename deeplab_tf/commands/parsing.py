"""From the command line to the values of a command's flags; the text of --help."""

import contextlib
import difflib
import os
import re
import textwrap

from absl import flags

from deeplab_tf.commands.flagfiles import expand_flagfiles
from deeplab_tf.errors import InputError

# The flag that all commands have: how it is written, and what --help says about it.
FLAGFILE = (
    "--flagfile=FILE",
    "Read flags from a file, one on each line; a path, or a name that `deeplab-tf configs` lists. "
    "Flags after it on the command line replace those of the file.",
)

# How --help writes the values of absl's types of flags.
_KINDS = {
    "string": "TEXT",
    "int": "INTEGER",
    "float": "NUMBER",
    "comma separated list of strings": "A,B,...",
    "multi string": "TEXT",
}


def parse_flags(values, arguments):
    """Parse the arguments of a command into the values of its flags.

    Args:
      values: `absl.flags.FlagValues` with the command's flags.
      arguments: list of str, as on the command line.

    Returns:
      The arguments that are not flags, a list of str.

    Raises:
      InputError: if a flag is unknown, a required one is missing, or a value is invalid.
    """
    try:
        _, *positional = values(["", *expand_flagfiles(arguments)])
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), 1)
        advice = f"did you mean --{near[0]}?" if near else "--help lists the flags"
        raise InputError(f"unknown flag --{error.flagname}; {advice}") from None
    except (flags.Error, ValueError) as error:
        raise InputError(_explain(str(error))) from None
    for name in values:
        flag = values[name]
        # The shell does not expand ~ in --flag=~/file. Unlike `Path.expanduser` this leaves ~NAME,
        # which may be the name of a file, unchanged if there is no such user.
        if isinstance(flag.value, str) and flag.value.startswith("~"):
            with contextlib.suppress(ValueError):  # a name that no user can have
                flag.value = os.path.expanduser(flag.value)  # noqa: PTH111
    return positional


def _explain(message):
    """A message of absl in this project's words."""
    if found := re.match("flag --([^=]+)=None: .* other than None", message):
        return f"--{found[1]} is required; see --help"
    if found := re.match("flag --([^:]+): .*Non-boolean", message):
        return f"--{found[1]}: give true or false"
    if found := re.match("Missing value for flag (.+)", message):
        return f"{found[1]} needs a value: {found[1]}=VALUE"
    return message.removeprefix("flag ")


def given_flags(values):
    """The flags that were given on the command line or in a flagfile, as arguments."""
    return [values[name].serialize() for name in values if values[name].present]


def asks_for_help(arguments):
    """Whether --help is among the arguments."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(word in ("--help", "-help", "-h", "--helpfull") for word in before)


def help_text(name, module, values):
    """What --help prints for a command.

    Args:
      name: of the command.
      module: the command's module.
      values: `absl.flags.FlagValues` with the command's flags, whose modules are the headings.

    Returns:
      str.
    """
    positional = getattr(module, "ARGUMENTS", "")
    lines = [f"usage: deeplab-tf {name} [--FLAG=VALUE ...] {positional}".rstrip(), ""]
    lines += [module.__doc__.strip(), ""]
    for title, group in values.flags_by_module_dict().items():
        lines += [f"{title}:", *(line for flag in group for line in _entry(*describe_flag(flag)))]
        lines.append("")
    lines += ["Files with flags:", *_entry(*FLAGFILE)]
    return "\n".join(lines)


def describe_flag(flag):
    """A flag as --help and the site of the docs show it.

    Args:
      flag: `absl.flags.Flag`.

    Returns:
      How it is written, such as "--limit=INTEGER", and its help with its default, both str.
    """
    help_ = flag.help
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        help_ = help_.removeprefix(f"<{'|'.join(choices)}>: ")  # absl adds it
        kind = "|".join(choices)
        if len(kind) > 60:
            kind, help_ = "NAME", f"{help_} One of {', '.join(choices)}."
    else:
        kind = _KINDS.get(flag.flag_type())
    term = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={kind}"
    if flag.boolean:
        help_ += f" Default: yes; --no{flag.name} for no." if flag.default else ""
    elif flag.default is not None and flag.default != []:
        help_ += f" Default: {flag.default_as_str.strip(chr(39))}."
    elif any(not validator.checker(None) for validator in flag.validators):
        help_ += " Required."
    return term, help_


def _entry(term, text):
    indent = " " * 6
    body = textwrap.fill(text, 88, initial_indent=indent, subsequent_indent=indent)
    return [f"  {term}", body]
