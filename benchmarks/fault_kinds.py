"""The kinds of faults: what is done to a command in a trial, before its results are checked."""

import contextlib
import math
import shutil
import signal

from benchmarks.fault_places import (
    MemoryGroup,
    enlarge,
    jumping_clock,
    mount_other,
    mount_small,
    set_read_only,
    shift_clock,
    shift_file_times,
    unmount,
)
from benchmarks.fault_server import NO_FAULT, Plan
from benchmarks.fault_trials import last_words

MEGABYTE = 1 << 20
_ENDED_BY_LIBC = 127


def kill(trial):
    """SIGKILL: at a random time, before a random call, or in the middle of writing a file."""
    rng, reference = trial.rng, trial.reference
    trial.fill()
    for _ in range(rng.randint(1, 3) if trial.command.name == "train" else 1):
        plans = {
            "time": Plan(after=rng.uniform(0.05, reference.seconds)),
            "call": Plan(at_call=trial.random_call()),
            "byte": Plan(file_limit=_random_size(trial), dies_of_limit=True),
        }
        ended = trial.start(plans[rng.choice(["time", "call", "call", "byte"])]).ended()
        trial.hit = trial.hit or ended.killed
        if ended.status > 0 and not (ended.error and "exists" in ended.error):
            trial.problems.append(f"status {ended.status}: {last_words(ended)}")
        trial.check_whole()
    trial.check_again()


def _random_size(trial):
    """A length at which a file is cut off, from 1 byte to nearly the longest, in equal octaves."""
    longest = max(trial.reference.sizes)
    return int(math.exp(trial.rng.uniform(0, math.log(longest))))


def disk(trial):
    """A disk that is full: a small file system, or files that may only have a certain length."""
    small = trial.mounts and trial.rng.random() < 0.6
    if small:
        needed = sum(-(-size // 4096) * 4096 for size in trial.reference.sizes)
        old = 0
        if trial.replaces:
            old = sum(p.stat().st_size + 4096 for p in trial.reference.old.rglob("*"))
        mount_small(trial.out, int(old + 8192 + trial.rng.random() ** 2 * needed))
    trial.fill()
    plan = NO_FAULT if small else Plan(file_limit=_random_size(trial))
    trial.expect_line(trial.start(plan).ended(), "full disk")
    trial.check_whole()
    if small:
        enlarge(trial.out)
    trial.check_again()


def readonly(trial):
    """A folder that cannot be written."""
    if not trial.mounts:
        return
    trial.fill()
    mount_other(trial.out, trial.out)
    set_read_only(trial.out, True)
    ended = trial.start().ended()
    trial.expect_line(ended, "read-only")
    if ended.status == 0:
        trial.problems.append("read-only: the command says that it has written")
    trial.check_whole()
    set_read_only(trial.out, False)
    trial.check_again()


def clock(trial):
    """A clock that jumps while the command works, and files of another time."""
    rng = trial.rng
    trial.fill()
    plan = Plan(prepare=jumping_clock(rng))
    if rng.random() < 0.7:
        plan = Plan(at_call=trial.random_call(), prepare=shift_clock(rng.uniform(-1e6, 1e6)))
    ended = trial.start(plan).ended()
    trial.hit = True
    if ended.status > 0:
        trial.problems.append(f"clock: status {ended.status}: {last_words(ended)}")
    trial.check_whole()
    shift_file_times(trial.out, rng)
    trial.check_again(Plan(prepare=shift_clock(rng.choice((-1e6, -86400.0, 1e8)))))


def two(trial):
    """A second process that does the same while the first stands still in the middle."""
    trial.fill()
    first = trial.start(Plan(at_call=trial.random_call(), event=signal.SIGSTOP))
    trial.hit = first.stopped()
    second = trial.start(log="log2").ended()
    if trial.hit:
        first.go_on()
    ends = {"first": first.ended(), "second": second}
    for name, ended in ends.items():
        if ended.status != 0:
            trial.expect_line(ended, f"the {name} of two")
    if all(ended.status for ended in ends.values()):
        trial.problems.append("neither of two processes has ended well")
    trial.check_whole()
    trial.check_again()


def gone(trial):
    """A folder that is renamed, or whose file system is taken away, while a command works in it."""
    store, away = trial.base / "store", trial.base / "away"
    mounted = trial.mounts and trial.rng.random() < 0.5
    if mounted:
        store.mkdir()
        mount_other(store, trial.out)
    trial.fill()
    child = trial.start(Plan(at_call=trial.random_call(), event=signal.SIGSTOP))
    if trial.rng.random() < 0.5 and child.stopped():  # some while TensorFlow writes
        trial.hit = True
        _take_away(trial, mounted, away)
        child.go_on()
    ended = child.ended() if trial.hit else _later(trial, child, mounted, away)
    trial.expect_line(ended, "folder gone")
    if trial.out.is_dir():
        trial.check_whole(may_lack_old=True)
    trial.check_whole(store if mounted else away)
    shutil.rmtree(trial.out, ignore_errors=True)
    if mounted:
        trial.out.mkdir(exist_ok=True)
        mount_other(store, trial.out)
    else:
        away.rename(trial.out)
    trial.check_again()


def _later(trial, child, mounted, away):
    """Take the folder away a little after the call at which the child stood still."""
    if child.stopped():
        child.go_on()
        trial.hit = True
    _take_away(trial, mounted, away)
    return child.ended()


def _take_away(trial, mounted, away):
    if mounted:
        unmount(trial.out)
    else:
        trial.out.rename(away)


def memory(trial):
    """Too little memory: a limit of the address space, or of a control group."""
    trial.fill()
    rng = trial.rng
    with contextlib.ExitStack() as stack:
        plan = Plan(memory=int(math.exp(rng.uniform(math.log(4), math.log(1500))) * MEGABYTE))
        if trial.groups and rng.random() < 0.5:
            most = int(math.exp(rng.uniform(math.log(8), math.log(300))) * MEGABYTE)
            plan = Plan(prepare=stack.enter_context(MemoryGroup(most)).join)
        ended = trial.start(plan).ended()
    trial.hit = ended.status != 0
    # The C library ends a process without memory for its threads with one line of its own.
    if ended.status > 0 and ended.error is None and ended.status != _ENDED_BY_LIBC:
        trial.problems.append(f"memory: status {ended.status}, no single line: {last_words(ended)}")
    if "hung" in ended.text:
        trial.problems.append("memory: it hung")
    trial.check_whole()
    trial.check_again()


KINDS = {f.__name__: f for f in (kill, disk, readonly, clock, two, gone, memory)}
