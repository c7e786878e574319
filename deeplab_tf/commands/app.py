"""What every tool shares: one clear line for what a user can mend, and a quiet TensorFlow."""

import contextlib
import os
import sys


def _print_uncaught(kind, error, trace):
    # Before `run` has control, while TensorFlow is imported, a user may have enough of waiting.
    if issubclass(kind, KeyboardInterrupt):
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


INTERRUPTED = "error: interrupted"
sys.excepthook = _print_uncaught


@contextlib.contextmanager
def _quiet_start():
    """Keep TensorFlow's notices about the processor and absent GPUs off the user's terminal.

    They are written past Python, before its log level is read. TF_CPP_MIN_LOG_LEVEL=0 in the
    environment brings them back.
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


with _quiet_start():
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for GPUs

from absl import app, flags, logging

from deeplab_tf.errors import InputError

logging.set_verbosity(logging.WARNING)  # TensorFlow has a line about every file it writes


def run(main, takes_files=False):
    """Run a tool's work after absl has parsed the flags.

    A flag's leading ~ becomes the user's home, as the shell does it only where ~ begins a word.

    Args:
      main: the tool's work, called without arguments, or with the list of the arguments that
        are no flags where `takes_files` is set.
      takes_files: whether arguments beside the flags are allowed.

    Raises:
      SystemExit: with one line and status 1 where the input is at fault.
    """
    app.run(lambda argv: _guarded(main, argv[1:], takes_files))


def _guarded(main, files, takes_files):
    if files and not takes_files:
        sys.exit(f"error: unexpected argument {files[0]!r}; options are written --name=value")
    _expand_home()
    try:
        main(files) if takes_files else main()
    except (InputError, OSError) as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _expand_home():
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if isinstance(flag.value, str) and flag.value.startswith("~"):
            # Path's own function fails where ~NAME is nobody's home but a file.
            flag.value = os.path.expanduser(flag.value)  # noqa: PTH111
