import ctypes
import subprocess
import sys

from deeplab_tf.commands import allocator as heap

# Page faults of freeing and taking an image's memory over and over, in a thread of its own.
SCRIPT = """
import resource, sys, threading
import numpy as np
from deeplab_tf.commands.allocator import keep_freed_memory

def count():
    def work(rounds):
        for _ in range(rounds):
            np.empty(700_000, np.uint8)[::4096] = 0
    work(10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work(200)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if "keep" in sys.argv:
    keep_freed_memory()
faults = []
thread = threading.Thread(target=count)
thread.start()
thread.join()
print(faults[0])
"""


def faults(*arguments):
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_threads_keep_what_they_have_freed():
    assert faults("keep") < 2000 < 200 * 171  # pages of 200 images


def test_another_c_library_changes_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap.keep_freed_memory()
