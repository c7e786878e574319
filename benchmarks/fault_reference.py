"""What a command does without faults: its results, and every version of them on the way."""

import os
import pickle
import shutil
import sys
from pathlib import Path

from benchmarks.fault_server import Child, Plan, value_of
from benchmarks.fault_states import read_state
from benchmarks.fault_trials import Reference


def make_reference(command, base):
    """Run a command without faults, on the old inputs, and twice on those of the trials.

    Args:
      command: `fault_commands.Command`.
      base: Path of the folder with inputs/ and older/.

    Returns:
      `Reference`.

    Raises:
      RuntimeError: if it fails, or does not end with the same results each time.
    """
    out, versions = base / "out", base / f"{command.name}.versions"
    old = base / f"{command.name}.old"
    old_state, _ = _run(command, base, "older", Plan(watched=out))
    shutil.copytree(out, old)
    _run(command, base, "inputs", Plan(watched=out))  # compiles what is compiled once
    state, ended = _run(command, base, "inputs", Plan(watched=out))
    noting = Plan(watched=out, prepare=lambda: _note_versions(command, out, versions))
    again, _ = _run(command, base, "inputs", noting)
    if again != state or state.damaged:
        differ = [n for n, c in state.results.items() if again.results.get(n) != c]
        raise RuntimeError(
            f"{command.name}: two runs differ in {differ}, {state.leftovers}, {state.damaged}"
        )
    allowed = {name: {checksum} for name, checksum in state.results.items()}
    for name, checksum in pickle.loads(versions.read_bytes()) if versions.exists() else ():
        allowed.setdefault(name, set()).add(checksum)
    sizes = tuple(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Reference(state, allowed, ended.seconds, ended.calls, sizes, old, old_state)


def _run(command, base, inputs, plan):
    out = base / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    ended = Child(command.action(base / inputs, out), plan, base / "log").ended()
    if ended.status:
        raise RuntimeError(f"{command.name}: {ended.text}")
    return value_of(lambda: read_state(command, out)), ended


def _note_versions(command, out, file):
    """Note the results after each renaming, with their checksums, in a file."""
    seen = set()

    def hook(event, arguments):
        # The results that the renaming before this one has left.
        if event == "os.rename" and str(out) in os.fsdecode(arguments[1]):
            seen.update(read_state(command, out).results.items())
            Path(file).write_bytes(pickle.dumps(seen))

    sys.addaudithook(hook)
