"""What becomes of a training on several workers when one of them fails, on this machine.

    make distributed [DISTRIBUTED_FLAGS="--workers=2"]

Two and four processes train a small network together, connected by TF_CONFIG. One is killed, hung
(SIGSTOP) or held for some seconds, the chief is killed or hung, a worker is restarted alone. The
others must end by themselves, with status 1 and one line, within --bound seconds; then the same
command must go on from the last checkpoint on all of them. A worker with other data, other flags or
another version must end all of them in the same way, before the first step; and so must one that is
lost while TensorFlow connects them (status -9, since nothing else can interrupt TensorFlow). At the
end the weights must be those of a training without any fault.

Printed are the seconds until the last of the others has ended, and their line. The last line counts
what was tried and what was found, and the exit status is 1 if anything was.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests" / "support"))  # the workers of the tests

from absl import app, flags, logging

from benchmarks.distributed_processes import Found
from benchmarks.distributed_start import differing_workers, lost_at_start
from benchmarks.distributed_training import FAULTS, Training

FLAGS = flags.FLAGS

flags.DEFINE_list("workers", ["2", "4"], "Numbers of workers to try.")
flags.DEFINE_list("faults", list(FAULTS), f"What is tried, of: {', '.join(FAULTS)}.")
flags.DEFINE_float("bound", 120, "Seconds within which the others must end.", lower_bound=1)
flags.DEFINE_bool("start", True, "Also try what happens before the first step.")


def try_faults(count, folder):
    """Make every fault with `count` workers, one after another, in one training; yields `Found`."""
    if not FLAGS.faults:
        return
    training = Training(count, folder, FLAGS.bound)
    with contextlib.closing(training):
        name = "first start"
        try:
            training.start()
            for name in FLAGS.faults:
                yield FAULTS[name](training, name)
            yield training.finish()
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            yield Found(name, None, "", f"and then {error}")


def try_start(count, folder):
    """Make the faults before the first step; yields `Found`."""
    yield from differing_workers(count, folder, FLAGS.bound)
    yield from lost_at_start(count, folder, FLAGS.bound)


def main(_):
    """Print one line for every fault."""
    if unknown := set(FLAGS.faults) - set(FAULTS):
        sys.exit(f"error: --faults: no {', '.join(unknown)}; available: {', '.join(FAULTS)}")
    logging.set_verbosity(logging.WARNING)  # TensorFlow reports every file that it writes
    results = []
    print(f"{'workers':>7}  {'fault':22}{'seconds':>8}  what the others say", flush=True)
    campaigns = [try_faults, try_start] if FLAGS.start else [try_faults]
    for count in map(int, FLAGS.workers):
        for campaign in campaigns:
            with tempfile.TemporaryDirectory() as folder:
                results += [report(count, found) for found in campaign(count, Path(folder))]
    problems = sum(bool(found.problem) for found in results)
    print(f"distributed: tried {len(results)}, found {problems}, {problems} open")
    sys.exit(1 if problems else 0)


def report(count, found):
    """Print what was found; returns it."""
    seconds = "" if found.seconds is None else f"{found.seconds:.1f}"
    print(f"{count:7}  {found.fault:22}{seconds:>8}  {found.line}", flush=True)
    if found.problem:
        print(f"         wrong: {found.problem}", flush=True)
    return found


if __name__ == "__main__":
    app.run(main)
