"""Runs a command by its name: parses its flags, then calls its `main`."""

import importlib
import sys

from absl import flags, logging

from deeplab_tf.commands.names import COMMANDS, unknown_command
from deeplab_tf.commands.parsing import asks_for_help, help_text, parse_flags
from deeplab_tf.errors import InputError, is_out_of_memory, one_line, system_line


def main(arguments):
    """Run a command as a program does: errors that a user can fix are one line.

    Args:
      arguments: list of str, the command's name and its flags.

    Returns:
      int, the program's exit status.
    """
    logging.set_verbosity(logging.WARNING)  # TensorFlow reports every file that it writes
    try:
        run(arguments)
    except (FileExistsError, NotADirectoryError) as error:
        # Raised for a folder that cannot be made; existing results have messages of their own.
        message = f"{error.filename}: a file is where a folder is needed; give another name"
        print(f"error: {message}", file=sys.stderr)
        return 1
    except InputError as error:
        print(f"error: {one_line(error, limit=2000)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if is_out_of_memory(error):
            what, remedy = one_line(error), "free memory, or use smaller images or batches"
            print(f"error: out of memory ({what}): {remedy}", file=sys.stderr)
        elif isinstance(error, OSError):
            print(f"error: {system_line(error)}", file=sys.stderr)
        else:
            raise
        return 1
    return 0


def run(arguments):
    """Run a command inside this process.

    Args:
      arguments: list of str, the command's name and its flags, as on the command line.

    Raises:
      InputError: if the command or a flag is unknown, or the input cannot be used.

    Example:
      >>> run(["train", "--flagfile=demo", "--data_dir=D", "--model_dir=M"])
    """
    name, *rest = arguments
    if name not in COMMANDS:
        raise InputError(unknown_command(name))
    if name == "train" and "--list_configs" in rest:  # its former name
        name, rest = "configs", []
    module = importlib.import_module(f"deeplab_tf.commands.{name.replace('-', '_')}")
    values = flags.FlagValues()
    module.define_flags(values)
    if asks_for_help(rest):
        print(help_text(name, module, values))
        return
    positional = parse_flags(values, rest)
    if hasattr(module, "recall") and (remembered := module.recall(values)):
        # What a run remembers is parsed first, so that flags given here replace it.
        values = flags.FlagValues()
        module.define_flags(values)
        positional = parse_flags(values, [*remembered, *rest])
    if hasattr(module, "ARGUMENTS"):
        module.main(values, positional)
    elif positional:
        raise InputError(f"unexpected argument {positional[0]!r}; flags are written --name=value")
    else:
        module.main(values)
