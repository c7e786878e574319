"""A trial of a command: its folder, and what must hold after a fault.

After the fault, every result that is there must be whole: an old one, or one of those that an
uninterrupted run writes under this name. Without a fault, the same command must then end with the
results of the uninterrupted run, and leave nothing else.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_places import unmount
from benchmarks.fault_server import NO_FAULT, Child, value_of
from benchmarks.fault_states import State, read_state


class Reference(NamedTuple):
    """What uninterrupted runs of a command do.

    Args:
      state: `State` at the end.
      allowed: {name of a result: checksums that it may have}.
      seconds: duration.
      calls: number of calls that change files.
      sizes: bytes of all files at the end.
      old: folder with the results of an earlier run on other inputs.
      old_state: its `State`.
    """

    state: State
    allowed: dict
    seconds: float
    calls: int
    sizes: tuple
    old: Path
    old_state: State


class Trial:
    """A command, a folder for its results, and what has been found wrong.

    Args:
      command: `fault_commands.Command`.
      reference: `Reference`.
      base: Path of a folder with inputs/; results are in out/.
      rng: `random.Random`, which decides everything.
      mounts, groups: whether file systems can be mounted here, and control groups made.

    Attributes:
      problems: list of sentences.
      hit: whether the fault came about.
    """

    def __init__(self, command, reference, base, rng, mounts=False, groups=False):
        self.command, self.reference, self.rng = command, reference, rng
        self.mounts, self.groups = mounts, groups
        self.base, self.out, self.log = base, base / "out", base / "log"
        self.problems, self.hit = [], False
        self.replaces = command.overwrite and rng.random() < 0.5
        unmount(self.out)
        for name in ("out", "away", "store"):
            shutil.rmtree(base / name, ignore_errors=True)
        self.out.mkdir()

    def fill(self):
        """Put the old results into the folder, if this trial is to replace them."""
        if self.replaces:
            shutil.copytree(self.reference.old, self.out, dirs_exist_ok=True)

    def start(self, plan=NO_FAULT, log="log"):
        """Start the command with a plan; returns the `Child`."""
        more = ["--overwrite"] if self.replaces else []
        action = self.command.action(self.base / "inputs", self.out, more)
        return Child(action, plan._replace(watched=self.out), self.base / log)

    def random_call(self):
        """The number of one of the calls that change files."""
        return self.rng.randint(1, max(1, self.reference.calls))

    def expect_line(self, ended, what):
        """Note a problem unless the command ended well, or with one line that names a place."""
        if ended.status == 0:
            return
        self.hit = True
        if ended.error is None:
            self.problems.append(
                f"{what}: status {ended.status}, no single line: {last_words(ended)}"
            )
        elif str(self.base) not in ended.error:
            self.problems.append(f"{what}: the line names no place: {ended.error}")
        elif ".partial" in ended.error:
            self.problems.append(f"{what}: the line names a temporary file: {ended.error}")

    def check_whole(self, folder=None, may_lack_old=False):
        """Note what is not whole in the results, or lost."""
        state, reference = self.read(folder), self.reference
        for name, checksum in state.results.items():
            known = reference.allowed.get(name, set())
            if self.replaces and name in reference.old_state.results:
                known = {*known, reference.old_state.results[name]}
            if name == "curves" and not checksum.startswith("damaged"):
                continue  # points of steps that will be repeated are dropped then
            if checksum not in known:
                self.problems.append(f"{name} is not whole: {checksum}")
        if self.replaces and not may_lack_old:
            lost = sorted(reference.old_state.results.keys() - state.results.keys())
            if lost:
                self.problems.append(f"lost: {', '.join(lost)}")
        return state

    def check_again(self, plan=NO_FAULT):
        """Run the command without the fault; note what differs from an uninterrupted run."""
        ended = self.start(plan).ended()
        refused = ended.error and ("exists" in ended.error)
        if refused and not self.command.again:
            self.replaces = True
            ended = self.start(plan).ended()
        if ended.status != 0:
            self.problems.append(f"again: status {ended.status}: {last_words(ended)}")
            return
        state = self.read()
        wanted = self.reference.state.results
        if self.replaces:  # such as an older archive that was extracted
            wanted = {**self.reference.old_state.results, **wanted}
        differ = [n for n in wanted | state.results if wanted.get(n) != state.results.get(n)]
        if differ:
            detail = _difference(wanted, state.results, differ[0])
            self.problems.append(f"again: other results: {', '.join(differ)} {detail}")
        if state.leftovers:
            self.problems.append(f"left behind: {', '.join(state.leftovers[:4])}")

    def read(self, folder=None):
        """The `State` of the results."""
        return value_of(lambda: read_state(self.command, folder or self.out))


def last_words(ended):
    """The last line of what a command printed, and before it the place in the code, if any."""
    lines = [line.strip() for line in ended.text.strip().splitlines()] or ["nothing printed"]
    places = [line for line in lines if line.startswith("File ") and "deeplab_tf" in line]
    return " | ".join([*places[-1:], lines[-1]])[:400]


def _difference(wanted, found, name):
    if name != "curves":
        return ""
    wanted, found = (json.loads(results.get(name, "{}")) for results in (wanted, found))
    for curve in wanted:
        missing = [p for p in wanted[curve] if p not in found.get(curve, [])]
        more = [p for p in found.get(curve, []) if p not in wanted[curve]]
        if missing or more or wanted[curve] != found.get(curve):
            return f"({curve}: missing {missing}, too many {more})"
    return ""
