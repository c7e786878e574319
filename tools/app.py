"""What every tool shares: one clear line for what a user can mend, and a quiet TensorFlow."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is first imported

from absl import app

from deeplab_tf.errors import InputError


def run(main, takes_files=False):
    """Run a tool's work after absl has parsed the flags.

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
    try:
        main(files) if takes_files else main()
    except (InputError, OSError) as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
