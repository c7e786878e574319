"""Starts the commands: `deeplab-tf NAME` when installed, `python tools/NAME.py` in a checkout.

This module does what must be done before TensorFlow is imported, and importing `deeplab_tf` imports
TensorFlow. In a wheel this folder is the package `deeplab_tf_tools`.
"""

import ast
import contextlib
import faulthandler
import importlib.util
import os
import runpy
import signal
import sys
from pathlib import Path


def main(arguments=None):
    """Run a command.

    Args:
      arguments: list of str, the command's name and its flags; None: those of the process.

    Returns:
      The exit status: int, or str for an error message.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    here = Path(__file__).resolve().parent
    if sys.path[0] == str(here):  # run as tools/NAME.py: import the package beside this folder
        sys.path[0] = str(here.parent)
    # find_spec finds the package without importing it.
    package = Path(importlib.util.find_spec("deeplab_tf").submodule_search_locations[0])
    names = runpy.run_path(str(package / "commands" / "names.py"))
    if name in ("--help", "-h", "help"):
        print(names["overview"]())
        return 0
    if name == "--version":
        print(f"deeplab-tf {_read_version(package)}")
        return 0
    if name not in names["COMMANDS"]:
        return f"error: {names['unknown_command'](name)}"
    faulthandler.enable()
    try:
        return _import_run(hold_sigterm=name == "train")([name, *rest])
    except KeyboardInterrupt:
        return "error: interrupted"


def _read_version(package):
    lines = (package / "__init__.py").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("__version__"))
    return ast.literal_eval(line.partition("=")[2].strip())


def _import_run(hold_sigterm):
    """Import TensorFlow, which takes seconds, and then the function that runs a command.

    Args:
      hold_sigterm: whether to block SIGTERM until the command handles it. Otherwise a training
        whose machine is taken away during the import would end like one that failed.
    """
    if hold_sigterm:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with _quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs
    from deeplab_tf.commands.app import main as run

    return run


@contextlib.contextmanager
def _quiet_start():
    """Hide TensorFlow's notices about the processor and missing GPUs.

    They are written to stderr by C++ code before it reads its log level.
    TF_CPP_MIN_LOG_LEVEL=0 in the environment shows them.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


if __name__ == "__main__":
    sys.exit(main())
