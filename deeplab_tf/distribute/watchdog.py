"""Ends this process if TensorFlow does not return from a call that cannot be interrupted."""

import contextlib
import os
import subprocess
import sys

# The standard input is closed when the work is done, or when the process has ended.
_WATCH = """
import os, select, signal, sys
process, seconds, line = sys.argv[1:]
if not select.select([sys.stdin], [], [], float(seconds))[0]:
    print(line, file=sys.stderr, flush=True)
    os.kill(int(process), signal.SIGKILL)
"""


@contextlib.contextmanager
def ended_after(seconds, line):
    """Print a line and kill this process if what is inside `with` takes longer.

    A call that holds Python's global lock stops all threads and signal handlers of Python, so a
    second process keeps the time.

    Args:
      seconds: how long the work may take.
      line: what is then printed to the standard error.
    """
    command = [sys.executable, "-I", "-S", "-c", _WATCH, str(os.getpid()), str(seconds), line]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as watch:
        try:
            yield
        finally:
            watch.stdin.close()
