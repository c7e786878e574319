"""A training of several processes on this machine, and what may happen to it.

Uses the workers of the tests, whose folder tests/support must be on the path.
"""

import contextlib
import io
import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import worker_train
from worker_processes import ended, free_addresses, start

from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.distribute.strategy import make_strategy

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "tests" / "support" / "worker_train.py"
ENDLESS = 10**6  # steps
START_SECONDS = 300
HELD_SECONDS = 4
PAUSE = "0.1"  # seconds that every batch is delayed

# `deeplab-tf train` of another version.
OTHER_VERSION = """
import sys
import deeplab_tf
deeplab_tf.__version__ = "0.0.1"
from deeplab_tf.commands.app import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


# A worker that is lost between the meeting of all workers and their connection by TensorFlow.
LOST_AT_START = """
import os, signal, sys
from deeplab_tf.distribute import strategy
meet = strategy.meet
def meet_and_fail(*arguments):
    meet(*arguments)
    os.kill(os.getpid(), signal.{signal})
strategy.meet = meet_and_fail
strategy.make_strategy("multi_worker")
"""


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


def start_worker(command, addresses, index, **environment):
    """Start `python COMMAND...` as one worker; returns a `subprocess.Popen`."""
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    return start(command, TF_CONFIG=config, **environment)


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


class Training:
    """Workers that train together, and are started again with the same command.

    Args:
      count: number of workers.
      folder: Path; the chief's files are in it.
      bound: seconds that a fault may take.
    """

    def __init__(self, count, folder, bound):
        self.bound, self._folder, self._count = bound, folder, count
        self.addresses, self.processes = free_addresses(count), []

    def start(self, steps=ENDLESS, indexes=None):
        """Start all workers, or those of `indexes`, and wait until they make steps.

        Raises:
          RuntimeError: if they do not, or do not go on from the newest checkpoint.
        """
        before = self.newest_step()
        for index in range(self._count) if indexes is None else indexes:
            process = self.worker(index, steps)
            if indexes is None:
                self.processes.append(process)
            else:
                self.processes[index] = process
        if steps == ENDLESS:
            self.wait_for_steps(before)

    def worker(self, index, steps=ENDLESS):
        """Start one worker; returns its process."""
        weights = self._folder / "weights"
        command = [WORKER, "multi_worker", self._folder / "model", steps, weights]
        return start_worker(command, self.addresses, index, PAUSE=PAUSE)

    def newest_step(self):
        """The step of the newest checkpoint; 0 if there is none."""
        files = (self._folder / "model" / "checkpoints").glob("step-*.index")
        return max((int(path.stem.removeprefix("step-")) for path in files), default=0)

    def wait_for_steps(self, before):
        """Wait for a checkpoint after step `before`."""
        deadline = time.monotonic() + START_SECONDS
        while self.newest_step() <= before:
            gone = [process for process in self.processes if process.poll() is not None]
            if gone or time.monotonic() > deadline:
                self.close()
                what = ended(gone[0]).err[-2000:] if gone else f"no step within {START_SECONDS} s"
                raise RuntimeError(f"the training does not go on: {what}")
            time.sleep(0.05)

    def again(self, indexes=None):
        """Start the same command again on all workers, or on those of `indexes`."""
        if indexes is None:
            self.close()
        self.start(indexes=indexes)

    def finish(self):
        """End the training some steps later; returns `Found`: are the weights as they should be?"""
        name = "weights at the end"
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            ended(process)
        self.processes, steps = [], self.newest_step() + 3
        self.start(steps)
        results = [ended(process) for process in self.processes]
        if any(result.status for result in results):
            return Found(name, None, "", f"status {[result.status for result in results]}")
        if not re.search(rf"continuing from step {steps - 3} of", results[0].out):
            return Found(name, None, "", f"it does not continue: {results[0].out}")
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            alone = worker_train.train(make_strategy("none"), self._folder / "alone", steps)
        with np.load(self._folder / "weights-0.npz") as found:
            difference = max(np.abs(found[key] - alone[key]).max() for key in alone)
        line = f"after {steps} steps they differ by {difference:.1g} from one process"
        return Found(name, None, line, "" if difference < 1e-5 else line)

    def close(self):
        """End all processes."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            with contextlib.suppress(ValueError):  # it was waited for already
                process.communicate()
        self.processes = []


def _lose(training, fault, index, sign):
    """A worker gets a signal; the others must end, and all go on after a restart."""
    lost = training.processes[index]
    others = [process for process in training.processes if process is not lost]
    lost.send_signal(sign)
    found = ends(fault, others, training.bound, is_of_lost_worker)
    training.again()
    return found


def kill_worker(training, fault):
    """The last worker is killed."""
    return _lose(training, fault, -1, signal.SIGKILL)


def kill_chief(training, fault):
    """The chief is killed."""
    return _lose(training, fault, 0, signal.SIGKILL)


def hang_worker(training, fault):
    """The last worker hangs."""
    return _lose(training, fault, -1, signal.SIGSTOP)


def hang_chief(training, fault):
    """The chief hangs."""
    return _lose(training, fault, 0, signal.SIGSTOP)


def hold_worker(training, fault):
    """The last worker stands still for some seconds: the others wait for it."""
    training.processes[-1].send_signal(signal.SIGSTOP)
    time.sleep(HELD_SECONDS)
    training.processes[-1].send_signal(signal.SIGCONT)
    try:
        training.wait_for_steps(training.newest_step())
    except RuntimeError as error:
        training.again()
        return Found(fault, None, "", str(error))
    return Found(fault, None, f"nothing: they wait {HELD_SECONDS} s, and go on")


def restart_alone(training, fault):
    """A worker is killed and started again at once: it waits until the others are, too."""
    lost = len(training.processes) - 1
    training.processes[lost].kill()
    ended(training.processes[lost])
    others = training.processes[:lost]
    training.processes[lost] = training.worker(lost)
    found = ends(fault, others, training.bound, is_of_lost_worker)
    if training.processes[lost].poll() is not None:
        problem = f"it does not wait: {ended(training.processes[lost]).err[-2000:]}"
        training.again()
        return found._replace(problem=found.problem or problem)
    training.again(range(lost))
    return found


FAULTS = {
    "worker killed": kill_worker,
    "chief killed": kill_chief,
    "worker hung": hang_worker,
    "chief hung": hang_chief,
    "worker held": hold_worker,
    "worker restarted alone": restart_alone,
}


def differing_workers(count, folder, bound):
    """Start `deeplab-tf train` with one worker that differs from the others; yields `Found`."""
    same, other = folder / "data", folder / "other"
    write_synthetic(same, num_train=count, num_val=1, size=(128, 128))
    write_synthetic(other, num_train=count + 1, num_val=1, size=(128, 128))
    common = ["--strategy=multi_worker", "--backbone=mobilenetv3small", "--weights=none"]
    common += [f"--model_dir={folder / 'model'}", "--crop_size=33", "--steps=2", "--eval_images=1"]
    plain = [ROOT / "tools" / "train.py", *common, f"--batch_size={count}", f"--data_dir={same}"]
    cases = {
        "other data": ([*plain[:-1], f"--data_dir={other}"], "in the list train"),
        "other flags": ([*plain, "--learning_rate=0.5"], "in --learning_rate"),
        "another version": (["-c", OTHER_VERSION, *plain[1:]], "has DeepLab 0.0.1"),
    }
    for name, (command, expected) in cases.items():
        commands = [plain] * (count - 1) + [command]
        yield _start_and_wait(
            name, commands, count, bound, lambda line, text=expected: text in line
        )


def lost_at_start(count, folder, bound):
    """One worker is killed, or hangs, while TensorFlow connects all of them; yields `Found`."""
    plain = [WORKER, "multi_worker", folder / "model", ENDLESS, folder / "weights"]
    for name, sign in (("killed at the start", "SIGKILL"), ("hung at the start", "SIGSTOP")):
        lost = ["-c", LOST_AT_START.format(signal=sign)]
        commands = [plain] * (count - 1) + [lost]
        yield _start_and_wait(name, commands, count - 1, bound, is_of_lost_start)


def is_of_lost_start(line):
    """Whether a worker says that the workers were not connected."""
    return line.startswith("error: the workers have met, but") or is_of_lost_worker(line)


def _start_and_wait(name, commands, ending, bound, is_line):
    """Start a worker for each command, and wait for the first `ending` of them; see `ends`."""
    addresses, processes = free_addresses(len(commands)), []
    try:
        for index, command in enumerate(commands):
            processes.append(start_worker(command, addresses, index))
        return ends(name, processes[:ending], bound, is_line)
    finally:
        for process in processes:
            process.kill()
            with contextlib.suppress(ValueError):  # it was waited for already
                process.communicate()
