import itertools
import subprocess
import sys
import threading
import time

import pytest

from crf.threads import available_threads
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.data.synthetic import write_synthetic


def test_elements_come_in_order_though_the_first_take_longest():
    def make(number):
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    found = list(itertools.islice(prefetch_map(make, itertools.count(3)), 12))
    assert found == [number**2 for number in range(3, 15)]


def test_elements_are_made_in_advance_and_no_further():
    made, enough = [], threading.Event()
    held = available_threads() + 2  # being computed, and ready

    def make(number):
        made.append(number)
        if len(made) == held:
            enough.set()
        return number

    stream = prefetch_map(make, itertools.count(), ready=2)
    assert next(stream) == 0
    assert enough.wait(60)
    time.sleep(0.05)  # long enough to see one too many
    assert len(made) == held
    stream.close()
    time.sleep(0.05)
    assert len(made) == held  # nothing more is computed once it is closed


def test_an_error_comes_in_its_place():
    def make(number):
        if number == 2:
            raise ValueError("two")
        return number

    stream = prefetch_map(make, itertools.count())
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(stream)


@pytest.mark.parametrize(("weight", "most"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_items_that_weigh_more_are_fewer_at_a_time(weight, most):
    """Of weight 3, two would be 6, more than 4 threads and the 1 that is held beside them."""
    running, highest, lock = set(), [], threading.Lock()
    meeting = threading.Barrier(most, timeout=60)  # fewer at a time would wait in vain

    def make(number):
        with lock:
            running.add(number)
            highest.append(len(running))
        meeting.wait()
        time.sleep(0.01)  # long enough to see one too many
        with lock:
            running.remove(number)
        return number

    stream = prefetch_map(make, range(12), workers=4, ready=1, weigh=lambda _: weight)
    assert list(stream) == list(range(12))
    assert max(highest) == most


# The data sets are alive, and busy, when the interpreter ends; or only a traceback holds them.
SCRIPT = """
import gc, sys
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.pipeline import training_batches

examples, label_set = open_dataset("synthetic", sys.argv[1], "train")
options = {"num_classes": label_set.num_classes, "batch_size": 10, "crop_size": 321}

def fail():
    stream = iter(training_batches(examples, **options))
    next(stream)
    raise ValueError

errors = []
for _ in range(3):
    try:
        fail()
    except ValueError as error:
        error.cycle = error
        errors.append(error)
errors.clear()
streams = [iter(training_batches(examples, **options)) for _ in range(3)]
print([next(stream)["image"].shape[0] for stream in streams], flush=True)
"""


@pytest.mark.slow
def test_a_process_ends_while_its_data_sets_are_busy(tmp_path):
    write_synthetic(tmp_path / "data", num_train=4, num_val=1, size=(375, 500))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "[10, 10, 10]\n"), done.stderr
