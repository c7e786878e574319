"""What every tool shares: one clear line for what a user can mend, and a quiet TensorFlow."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is first imported

from absl import app

from deeplab_tf.errors import InputError


def run(main):
    """Run `main()` after absl has parsed the flags; input errors become one line and exit code 1.

    Args:
      main: function without arguments, the tool's work.
    """
    app.run(lambda argv: _guarded(main, argv))


def _guarded(main, argv):
    if len(argv) > 1:
        sys.exit(f"error: unexpected argument {argv[1]!r}; options are written --name=value")
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
