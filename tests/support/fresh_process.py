"""Runs a program in a Python process of its own, for what depends on imports and environment."""

import subprocess
import sys
import textwrap


def run_python(program, folder=None, environment=None):
    """Run a program that must succeed.

    Args:
      program: its source; common indentation is removed.
      folder: the working directory; None: that of the tests.
      environment: dict of all environment variables; None: those of the tests.

    Returns:
      `subprocess.CompletedProcess` with stdout and stderr as text.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
