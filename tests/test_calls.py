import subprocess
import sys
import threading
import time

import pytest

from deeplab_tf.data.calls import _Calls, ending_in_time
from deeplab_tf.data.synthetic import write_synthetic

# The data sets are alive, and busy, when the interpreter ends.
SCRIPT = """
import sys
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.pipeline import training_batches

examples, label_set = open_dataset("synthetic", sys.argv[1], "train")
options = {"num_classes": label_set.num_classes, "batch_size": 10, "crop_size": 321}
streams = [iter(training_batches(examples, **options)) for _ in range(3)]
print([next(stream)["image"].shape[0] for stream in streams], flush=True)
"""


def test_a_process_ends_while_its_data_sets_are_busy(tmp_path):
    write_synthetic(tmp_path / "data", num_train=4, num_val=1, size=(375, 500))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[10, 10, 10]\n"), done.stderr


def test_the_end_waits_for_what_runs_and_refuses_what_comes():
    calls, seen = _Calls(), []

    def run():
        with calls:
            started.set()
            time.sleep(0.05)
            seen.append("done")

    started = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    calls.end()
    assert seen == ["done"]
    thread.join()
    with pytest.raises(RuntimeError, match="about to end"), calls:
        pass


def test_functions_are_called_as_they_are():
    assert ending_in_time(divmod)(7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        ending_in_time(divmod)(1, 0)
