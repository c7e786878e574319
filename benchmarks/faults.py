"""What faults leave: every command is killed, starved and disturbed, and its results are checked.

    make faults [FAULTS="--kills=50 --others=10 --commands=train,export"]

The commands that write files run on tiny inputs in forked processes. Seven kinds of faults:

    kill      SIGKILL at a random time, before a random call that changes files, or in the middle
              of writing a file
    disk      a full disk, or files that may only have a certain length
    readonly  a folder that cannot be written
    clock     a clock that jumps, and files of the future and the past
    two       a second process that does the same in the same folder
    gone      a folder that is renamed, or whose file system is taken away
    memory    an address space, or a control group, with too little memory

After every fault, each result must be whole, the one of an earlier run or of this one; an error
must be one line that names the place; and the same command, run again, must leave bit-identical
results and nothing else. What needs rights that this process lacks is skipped with a notice.
Every trial has a name, KIND/COMMAND/NUMBER, which with --seed determines it: --trial=NAME runs it
alone, prints what the command printed, and keeps its folder.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# The folder of this script has a crf.py, which would be imported in place of the package.
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests" / "support"))  # the network of the tests

from benchmarks.fault_server import private_mounts

MOUNTS = private_mounts()  # before there are threads

import keras
import tensorflow as tf
import tensorflow_datasets  # noqa: F401  imported once for all children
from absl import app, flags

from benchmarks.fault_commands import COMMANDS, write_inputs
from benchmarks.fault_kinds import KINDS
from benchmarks.fault_mended import MENDED
from benchmarks.fault_places import MemoryGroup, unmount
from benchmarks.fault_reference import make_reference
from benchmarks.fault_server import Child
from benchmarks.fault_trials import Trial
from deeplab_tf.commands import (  # noqa: F401  imported once for all children
    evaluate,
    export,
    pack,
    predict,
    prepare_data,
    search_crf,
)

KILLED_LESS = "pack", "import-weights", "predict"

FLAGS = flags.FLAGS

flags.DEFINE_integer("kills", 50, f"Kills of each command; a fifth of {', '.join(KILLED_LESS)}.")
flags.DEFINE_integer("others", 10, "Trials of each other kind with each command.")
flags.DEFINE_list("commands", list(COMMANDS), "Commands to try.")
flags.DEFINE_list("kinds", list(KINDS), "Kinds of faults.")
flags.DEFINE_integer("seed", 0, "Seed of all trials.")
flags.DEFINE_integer("first", 0, "Number of the first trial, to run a campaign in pieces.")
flags.DEFINE_string("trial", None, "Run only this trial, such as kill/train/17.")


def can_limit_groups():
    """Whether control groups can be made here."""
    try:
        with MemoryGroup(1 << 30):
            return True
    except OSError:
        return False


def names_of_trials():
    """(kind, command, number) of all trials."""
    if FLAGS.trial:
        kind, command, number = FLAGS.trial.split("/")
        return [(kind, command, int(number))]
    return [
        (kind, command, number)
        for command in FLAGS.commands
        for kind in FLAGS.kinds
        for number in range(FLAGS.first, FLAGS.first + count_of_trials(kind, command))
    ]


def count_of_trials(kind, command):
    """How many trials of a kind are made with a command."""
    if kind == "kill":
        return -(-FLAGS.kills // 5) if command in KILLED_LESS else FLAGS.kills
    # Nothing of a read-only folder is random but whether something is there.
    return min(2, FLAGS.others) if kind == "readonly" else FLAGS.others


def run_trial(name, references, base, groups):
    """Run a trial; returns the finished `Trial`."""
    kind, command, number = name
    rng = random.Random(f"{FLAGS.seed}/{kind}/{command}/{number}")
    trial = Trial(COMMANDS[command], references[command], base, rng, MOUNTS, groups)
    try:
        KINDS[kind](trial)
    except (OSError, RuntimeError) as error:
        trial.problems.append(f"the trial itself failed: {error}")
    return trial


def main(_):
    """Run the campaign; the exit status is 1 if something is open."""
    start, groups = time.monotonic(), can_limit_groups()
    if not MOUNTS:
        print("notice: no file system can be mounted here: a full disk is only a limit of the")
        print("  length of files, and read-only folders and folders taken away are skipped")
    if not groups:
        print("notice: no control group can be made here: memory is only limited as addresses")
    base = Path(tempfile.mkdtemp(prefix="faults-"))
    names = names_of_trials()
    try:
        tried, hit, found = campaign(names, base, groups)
    finally:
        unmount(base / "out")
        if FLAGS.trial:
            print(f"folder: {base}; what it printed:")
            print((base / "log").read_text("utf-8", errors="replace"))
        else:
            shutil.rmtree(base, ignore_errors=True)
    print(f"tried   {tried} trials, in {hit} of which the fault came before the end")
    print(f"found   {len(MENDED) + found}, of which {found} in this run")
    print(f"mended  {len(MENDED)}, each with a test: see benchmarks/fault_mended.py")
    print(f"open    {found}")
    print(f"time    {(time.monotonic() - start) / 60:.1f} minutes")
    print(f"one trial again: python benchmarks/faults.py --seed={FLAGS.seed} --trial=NAME")
    sys.exit(bool(found))


def campaign(names, base, groups):
    """Run trials.

    Returns:
      How many were tried, in how many the fault came about, and in how many something was wrong.
    """
    for folder, seed in (("inputs", 0), ("older", 1)):
        written = Child(lambda f=folder, s=seed: write_inputs(base / f, s), output=base / "log")
        if (ended := written.ended()).status:
            raise RuntimeError(ended.text)
    references, table, hits, found, begun = {}, {}, 0, 0, time.monotonic()
    for name in names:
        if name[1] not in references:
            references[name[1]] = make_reference(COMMANDS[name[1]], base)
        trial = run_trial(name, references, base, groups)
        hits, found = hits + trial.hit, found + bool(trial.problems)
        counts = table.setdefault(name[:2], [0, 0, 0, 0.0])
        counts[0] += 1
        counts[1] += trial.hit
        counts[2] += bool(trial.problems)
        counts[3], begun = counts[3] + time.monotonic() - begun, time.monotonic()
        for problem in trial.problems:
            print(f"{'/'.join(map(str, name))}: {problem}", flush=True)
    print(f"\n{'command':15}{'fault':10}{'trials':>8}{'hit':>8}{'wrong':>8}{'s each':>8}")
    for (kind, command), (count, hit, wrong, seconds) in table.items():
        print(f"{command:15}{kind:10}{count:8}{hit:8}{wrong:8}{seconds / count:8.1f}")
    return len(names), hits, found


if __name__ == "__main__":
    # Set before the first operation, these start nothing; children then have few threads.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.config.disable_traceback_filtering()
    app.run(main)
