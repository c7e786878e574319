"""Runs a tool inside the test process, which saves starting TensorFlow for each run."""

import contextlib
import io
import runpy
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags

COMMANDS = Path(__file__).resolve().parents[2] / "deeplab_tf" / "commands"
TOOLS = Path(__file__).resolve().parents[2] / "tools"


class Finished(NamedTuple):
    """What a process would have left: exit status and printed text."""

    status: int
    out: str
    err: str

    @property
    def error(self):
        """The one line of an input error; fails where there is another result."""
        assert self.status == 1, self
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and self.err.strip().endswith(lines[0]), self.err
        assert "Traceback" not in self.err
        return lines[0]


def run_tool(name, *arguments):
    """Run tools/NAME.py with these arguments as `python tools/NAME.py ARGUMENTS` would.

    Returns:
      `Finished`.
    """
    defined, imported = set(flags.FLAGS), set(sys.modules)
    script = str(TOOLS / f"{name}.py")
    argv, path = sys.argv, sys.path.copy()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    out, err = io.StringIO(), io.StringIO()
    sys.argv = [script, *map(str, arguments)]
    sys.path.insert(0, str(TOOLS))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = _run(script, err)
    finally:
        sys.argv, sys.path[:] = argv, path
        signal.pthread_sigmask(signal.SIG_SETMASK, held)  # train may have ended in its flags
        _forget(defined, imported)
    return Finished(status, out.getvalue(), err.getvalue())


def _run(script, err):
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=err)
            return 1
        return end.code or 0
    return 0


def _forget(defined, imported):
    # Flags and modules of one tool must not meet the next one's of the same name.
    for name in set(sys.modules) - imported:
        file = getattr(sys.modules[name], "__file__", None)
        if file and COMMANDS in Path(file).parents:
            del sys.modules[name]
    # absl defines its own only once.
    own = {flag.name for flag in flags.FLAGS.flags_by_module_dict().get("absl.app", ())}
    for name in set(flags.FLAGS) - defined - own:
        with contextlib.suppress(AttributeError):  # a short name and its flag go together
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
