"""Where TensorFlow's import would take seconds, the file alone is run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WITH_WATCHDOG = f"""
import re, runpy, sys, time
watchdog = runpy.run_path({str(ROOT / "deeplab_tf" / "distribute" / "watchdog.py")!r})
with watchdog["ended_after"](float(sys.argv[1]), "error: not connected"):
    {{work}}
print("went on")
"""


def run(seconds, work):
    command = [sys.executable, "-S", "-c", WITH_WATCHDOG.format(work=work), str(seconds)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_work_in_time_goes_on_and_nothing_is_printed():
    done = run(60, "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_an_error_in_time_is_raised_as_it_is():
    done = run(60, "sys.exit('error: the port is taken')")
    assert (done.returncode, done.stderr) == (1, "error: the port is taken\n")


def test_work_that_holds_the_global_lock_ends_with_one_line():
    # This regular expression would run for hours.
    done = run(0.2, "re.match('(a+)+$', 40 * 'a' + 'b')")
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "error: not connected\n")
