"""How workers on this machine end.

Uses the workers of the tests, whose folder tests/support must be on the path.
"""

import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from worker_processes import ended

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "tests" / "support" / "worker_train.py"
ENDLESS = 10**6  # steps


class Found(NamedTuple):
    """What a fault did.

    Attributes:
      fault: its name.
      seconds: until the last of the others had ended; None: they go on, as they should.
      line: what they said last.
      problem: what is wrong; "": nothing.
    """

    fault: str
    seconds: float | None
    line: str
    problem: str = ""


def ends(fault, processes, bound, is_line=lambda line: True):
    """Wait until workers have ended by themselves; returns `Found`.

    Args:
      fault: its name.
      processes: those that must end.
      bound: seconds that they may take.
      is_line: function that returns whether this is what they should say.
    """
    begin, lines, problem = time.monotonic(), [], ""
    for process in processes:
        left = bound - (time.monotonic() - begin)
        try:
            result = ended(process, max(0.1, left))
        except subprocess.TimeoutExpired:
            return Found(fault, None, "", f"a worker has not ended within {bound:g} s")
        said = result.err.strip().splitlines() or [""]
        lines.append(said[-1])
        if (
            result.status not in (1, -signal.SIGKILL)
            or not said[-1].startswith("error: ")
            or "Traceback" in result.err
        ):
            problem = f"status {result.status}: {result.err[-2000:]}"
        elif not is_line(said[-1]):
            problem = f"an unexpected line: {said[-1]}"
    return Found(fault, time.monotonic() - begin, lines[0], problem)


def is_of_lost_worker(line):
    """Whether a worker says that another one is lost."""
    return line.startswith("error: another worker has ended")
