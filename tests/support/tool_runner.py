"""Runs a command inside the test process, which saves starting TensorFlow for each run."""

import contextlib
import io
import signal
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.commands.app import main

TOOLS = Path(__file__).resolve().parents[2] / "tools"


class Finished(NamedTuple):
    """What a process would have left: exit status and printed text."""

    status: int
    out: str
    err: str

    @property
    def error(self):
        """The one line of an input error; fails if the command ended in another way."""
        assert self.status == 1, self
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and self.err.strip().endswith(lines[0]), self.err
        return lines[0]


def run_tool(name, *arguments):
    """Run a command as `deeplab-tf NAME ARGUMENTS` would.

    Args:
      name: of the command, with - or _ between words.
      *arguments: str, or what `str` makes an argument of, such as a path.

    Returns:
      `Finished`.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([name.replace("_", "-"), *map(str, arguments)])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return Finished(status, out.getvalue(), err.getvalue())
