"""Processes that run one side of a benchmark: this package, or what it is compared with."""

import json
import subprocess
import sys
from pathlib import Path


def run_alone(script, flags):
    """Run a script in a process of its own, so that only that fails, or is killed for its memory.

    Args:
      script: its file.
      flags: {name: value} of its flags.

    Returns:
      The JSON of the last line that it prints, a list or a dict; a text instead that says why, if
      it fails.
    """
    command = [sys.executable, script, *(f"--{name}={value}" for name, value in flags.items())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}, probably because too little memory was left"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1])


class Worker:
    """A process that answers lines of JSON with lines of JSON, until its input ends.

    If the process has ended early, every method exits this program with a one-line error.

    Args:
      python: interpreter.
      script: the worker's file, in this folder unless it is an absolute path.
      what: name of what the script runs, for the error.
    """

    def __init__(self, python, script, what):
        self._failure = f"error: {python} cannot run {what}; see above"
        self._process = subprocess.Popen(
            [python, str(Path(__file__).parent / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, message):
        """Send a message that needs no answer."""
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            sys.exit(self._failure)

    def answer(self):
        """Wait for an answer."""
        line = self._process.stdout.readline()
        return json.loads(line) if line else sys.exit(self._failure)

    def ask(self, message):
        """Send a message and wait for its answer."""
        self.say(message)
        return self.answer()

    def end_input(self):
        """Tell the process that no more messages follow."""
        self._process.stdin.close()

    def close(self):
        """End the input and wait for the process to exit."""
        self.end_input()
        self._process.wait()
