"""Workers that differ, or are lost, before a training on several workers begins.

Uses the workers of the tests, whose folder tests/support must be on the path.
"""

from worker_processes import free_addresses, kill_all, start_worker

from benchmarks.distributed_processes import (
    ENDLESS,
    ROOT,
    WORKER,
    ends,
    is_of_lost_worker,
)
from deeplab_tf.data.synthetic import write_synthetic

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
        kill_all(processes)
