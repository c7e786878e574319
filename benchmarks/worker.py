"""A peer's process, or one of our own, that answers the lines it is sent."""

import json
import subprocess
import sys
from pathlib import Path


class Worker:
    """A process that answers lines of JSON with lines of JSON; it ends with its input.

    Where it has ended too early, every method ends this program with one line.

    Args:
      python: interpreter.
      script: name of the worker's file beside this one.
      what: what it runs, for that line.
    """

    def __init__(self, python, script, what):
        self._failure = f"error: {python} cannot run {what}; see above"
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, message):
        """Send a message that has no answer."""
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
        """Tell the process that nothing more will be asked."""
        self._process.stdin.close()

    def close(self):
        """End the process."""
        self.end_input()
        self._process.wait()
