"""A training of several processes on this machine, and what may happen to it.

Uses the workers of the tests, whose folder tests/support must be on the path.
"""

import contextlib
import io
import re
import signal
import time

import numpy as np
import worker_train
from worker_processes import ended, free_addresses, kill_all, start_worker

from benchmarks.distributed_processes import (
    ENDLESS,
    WORKER,
    Found,
    ends,
    is_of_lost_worker,
)
from deeplab_tf.distribute.strategy import make_strategy

START_SECONDS = 300
HELD_SECONDS = 4
PAUSE = "0.1"  # seconds that every batch is delayed


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
        kill_all(self.processes)
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
