"""Memory, open files and threads of a process while it works, looked at from outside.

Needs only the standard library, and the folder /proc of Linux.
"""

import contextlib
import os
import statistics
import threading
import time
from pathlib import Path
from typing import NamedTuple

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Sample(NamedTuple):
    """What a process holds at one moment.

    Attributes:
      seconds: since the first sample.
      done: how much of its work is done, in whatever the work is counted.
      megabytes: resident memory.
      files: open files, sockets among them.
      threads: its threads.
    """

    seconds: float
    done: float
    megabytes: float
    files: float
    threads: float


def held(pid):
    """Resident memory in megabytes, open files and threads of a process.

    Raises:
      OSError: if it has ended.
    """
    process = Path("/proc", str(pid))
    megabytes = int((process / "statm").read_text().split()[1]) * PAGE_MB
    files, threads = (len(list((process / each).iterdir())) for each in ("fd", "task"))
    return megabytes, files, threads


def watch(process, done, is_over=lambda: False, every=0.2):
    """Look at a process until it ends, or until its work is over.

    Args:
      process: `subprocess.Popen`.
      done: function that returns how much of the work is done; None: none of it yet, and the
        sample is left out.
      is_over: function that returns whether to stop although the process goes on.
      every: seconds between two looks.

    Returns:
      list of `Sample`.
    """
    samples, start = [], time.monotonic()
    while process.poll() is None and not is_over():
        count = done()
        with contextlib.suppress(OSError):  # it has ended since
            holds = held(process.pid)
            if count is not None and holds[0]:  # a process that has ended has no memory
                samples.append(Sample(time.monotonic() - start, count, *holds))
        time.sleep(every)
    return samples


class Printed(threading.Thread):
    """Reads what a worker prints: how much is done from lines "done N", and the other lines.

    Attributes:
      done: the last N; None before the first.
      lines: list of the other lines.
    """

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.done, self.lines, self._stream = None, [], stream
        self.start()

    def run(self):
        """Read until the worker closes the stream."""
        for line in self._stream:
            word, _, count = line.partition(" ")
            if word == "done" and count.strip().isdigit():
                self.done = int(count)
            else:
                self.lines.append(line.rstrip("\n"))


def medians(samples):
    """Medians of megabytes, files and threads of several samples, a `Sample` of the last moment."""
    columns = list(zip(*samples, strict=True))
    return Sample(*(column[-1] for column in columns[:2]), *map(statistics.median, columns[2:]))


def thinned(samples, count):
    """The medians of about `count` groups of neighbors, for a curve."""
    size = max(1, len(samples) // count)
    return [medians(samples[i : i + size]) for i in range(0, len(samples), size)]


def before_and_after(samples, total):
    """What was held just after the first tenth of the work, and in its last tenth.

    One moment says little, because what a call needs comes and goes. So the first is the median
    of the second tenth.

    Args:
      samples: list of `Sample`.
      total: the whole work, counted as in their `done`.

    Returns:
      Two `Sample`; None if there are no samples of one of the two tenths.
    """
    early = [one for one in samples if 0.1 <= one.done / total < 0.2]
    late = [one for one in samples if one.done / total >= 0.9]
    return (medians(early), medians(late)) if early and late else None
