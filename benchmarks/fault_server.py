"""Runs actions in forked processes, and kills, stops or limits them at chosen moments.

The process that imports this module imports TensorFlow and the commands once, and then never
computes with them: TensorFlow starts its threads with the first operation, and a process with
threads must not be forked. Each child computes as much as it likes.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

# Python's own events of calls that change files; their first arguments are paths.
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS of <sched.h>
_PIPE = 1 << 20  # bytes that a child may print while nobody reads
_DEATH = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Plan(NamedTuple):
    """What happens to a child.

    Args:
      watched: folder whose changes are counted as calls: opening a file to write it, renaming,
        linking, deleting, making a folder. Changes by TensorFlow's own C++ code are not seen.
      at_call: number of the call before which `event` happens, from 1 on; None: never.
      event: what happens then: a signal that the child sends to itself, or a function.
      after: seconds after which the child is killed; None: never.
      file_limit: bytes; longer files cannot be written: the error of a full disk.
      dies_of_limit: whether the child is killed at `file_limit` instead, in the middle of a write.
      memory: bytes of address space that the child may take in addition; None: any.
      prepare: function that the child calls before its action; None: nothing.
    """

    watched: Path | None = None
    at_call: int | None = None
    event: object = signal.SIGKILL
    after: float | None = None
    file_limit: int | None = None
    dies_of_limit: bool = False
    memory: int | None = None
    prepare: object = None


NO_FAULT = Plan()


class Ended(NamedTuple):
    """How a child ended.

    Args:
      status: exit status; negative: the number of the signal that ended it.
      text: all that it printed.
      seconds: how long it ran.
      calls: how many calls it made, see `Plan`.
    """

    status: int
    text: str
    seconds: float
    calls: int

    @property
    def killed(self):
        """Whether it was killed, not ended."""
        return self.status < 0

    @property
    def error(self):
        """The one line of an error; None if it ended in another way."""
        # Progress bars, which have a line of their own, are closed after the error is printed.
        errors = [line for line in self.text.splitlines() if line.startswith("error: ")]
        one = self.status == 1 and len(errors) == 1 and "Traceback" not in self.text
        return errors[0] if one else None


class Child:
    """A forked process that runs an action, which returns its exit status.

    Args:
      action: function without arguments.
      plan: `Plan`.
      output: file that gets what the process printed, when it has ended.
    """

    def __init__(self, action, plan=NO_FAULT, output="/dev/null"):
        sys.stdout.flush()
        sys.stderr.flush()
        self._plan, self._output, self._start = plan, Path(output), time.monotonic()
        # Neither is a file, whose length a plan may limit.
        self._calls = mmap.mmap(-1, 8)
        self._printed, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _run(action, plan, writer, self._calls, parent)
        os.close(writer)
        os.set_blocking(self._printed, False)
        self._text = b""

    def stopped(self):
        """Wait until the child has stopped itself; False if it ended instead."""
        # Without reaping it, so that `ended` can still ask how it ended.
        what = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return what.si_code == os.CLD_STOPPED

    def go_on(self):
        """Let a stopped child continue."""
        os.kill(self.pid, signal.SIGCONT)

    def ended(self, longest=120.0):
        """Wait until the child ends, and kill it when its plan says so, or after `longest` seconds.

        Returns:
          `Ended`; the text of one that hung says so.
        """
        after = longest if self._plan.after is None else self._plan.after
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._drain()
            seconds = time.monotonic() - self._start
            if pid:
                break
            if seconds > after:
                os.kill(self.pid, signal.SIGKILL)
                after = float("inf")
            time.sleep(0.002)
        os.close(self._printed)
        text = self._text.decode("utf-8", errors="replace")
        if seconds > longest:
            text += f"\nhung for {longest:.0f} s\n"
        self._output.write_text(text, "utf-8")
        calls = int.from_bytes(self._calls[:], "little")
        return Ended(os.waitstatus_to_exitcode(status), text, seconds, calls)

    def _drain(self):
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._printed, _PIPE):
                self._text += part


def value_of(function):
    """What a function returns that is called in a child, so that it may compute."""
    reader, writer = os.pipe()

    def answer():
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            pickle.dump(function(), file)
        return 0

    child = Child(answer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        contents = file.read()
    ended = child.ended()
    if ended.status != 0:
        raise RuntimeError(f"a check failed: {ended.text}")
    return pickle.loads(contents)


def private_mounts():
    """Whether this process may mount file systems that nobody else sees, now made possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    private = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE of <sys/mount.h>
    return libc.unshare(_NEW_MOUNTS) == 0 and libc.mount(b"none", b"/", None, private, None) == 0


def _run(action, plan, output, calls, parent):
    """The life of the child; never returns."""
    status = 70
    try:
        ctypes.CDLL(None).prctl(_DEATH, signal.SIGKILL)  # no child outlives a killed campaign
        if os.getppid() != parent:
            os._exit(status)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # A test runner, for one, has put others in their place.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        _limit(plan)
        if plan.watched:
            sys.addaudithook(_counting(plan, calls))
        if plan.prepare:
            plan.prepare()
        status = action()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _limit(plan):
    if plan.file_limit is not None:
        # Python ignores the signal, so that the limit is an error; by default it kills.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if plan.dies_of_limit else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_limit, plan.file_limit))
    if plan.memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + plan.memory
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _counting(plan, calls):
    watched, number = str(plan.watched), 0

    def hook(event, arguments):
        nonlocal number
        if event == "open":
            # Python's own open gives a mode, os.open alone only flags.
            if not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in _CHANGES:
            return
        path = arguments[0]
        path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if not path.startswith(watched):
            return
        number += 1
        calls[:] = number.to_bytes(8, "little")
        if number == plan.at_call:
            plan.event() if callable(plan.event) else os.kill(os.getpid(), plan.event)

    return hook
