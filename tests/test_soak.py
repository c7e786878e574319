"""The soak: is a process that grows found, and are the CRF's calls in several threads right?"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import crf_soak_worker
from benchmarks.process_samples import (
    Printed,
    Sample,
    before_and_after,
    held,
    medians,
    thinned,
    watch,
)
from benchmarks.soak_report import closing_line, draw, judge, row

ROOT = Path(__file__).resolve().parents[1]


def samples(megabytes, files=5, threads=9):
    """A sample at 0, 5, 10 ... 100 of 100 steps."""
    return [Sample(i, 5 * i, megabytes(5 * i), files, threads) for i in range(21)]


def test_the_second_tenth_is_compared_with_the_last():
    before, after = before_and_after(samples(lambda done: 100 + done), 100)
    assert (before.megabytes, after.megabytes) == (112.5, 195)  # of 10, 15 and of 90, 95, 100
    assert before_and_after(samples(float)[:10], 100) is None


def test_a_short_peak_does_not_count_and_growth_does():
    steady = samples(lambda done: 900 if done == 95 else 100)
    assert judge(*before_and_after(steady, 100), growth=0.05) == []
    growing = samples(lambda done: 100 + 0.1 * done)
    assert judge(*before_and_after(growing, 100), growth=0.05) == ["memory grows by 8.1%"]
    assert judge(*before_and_after(growing, 100), growth=0.1) == []


@pytest.mark.parametrize("what", ["files", "threads"])
def test_one_more_file_or_thread_counts(what):
    before = Sample(1, 1, 100, 5, 9)
    more = getattr(before, what) + 1
    assert judge(before, before._replace(**{what: more}), 0.05) == [
        f"the number of {what} grows from {more - 1} to {more}"
    ]


def test_medians_and_curves():
    one, two, three = Sample(0, 1, 10, 1, 1), Sample(1, 2, 40, 2, 1), Sample(2, 3, 20, 9, 1)
    assert medians([one, two, three]) == Sample(2, 3, 20, 2, 1)
    assert thinned([one, two, three], 3) == [one, two, three]
    assert thinned([one, two, three], 1) == [Sample(2, 3, 20, 2, 1)]


WORKER = """
import sys, threading
files = [open("/dev/null") for _ in range(7)]
thread = threading.Thread(target=sys.stdin.read)
thread.start()
print("hello", flush=True)
print("done 3", flush=True)
"""


def test_a_process_is_looked_at_from_outside():
    command = [sys.executable, "-S", "-c", WORKER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        printed, seen = Printed(process.stdout), []

        def is_over():
            seen.append(held(process.pid))
            return len(seen) > 1 and seen[-2][1:] == seen[-1][1:] and printed.done is not None

        found = watch(process, lambda: printed.done, is_over, every=0.01)
        process.stdin.close()
        printed.join()
    megabytes, files, threads = seen[-1]
    assert files == 3 + 7 and threads == 2 and 3 < megabytes < 200
    assert printed.lines == ["hello"] and printed.done == 3
    assert all(sample.done == 3 for sample in found)


def test_the_closing_line_and_the_table():
    held_before = {"megabytes": 100, "files": 5, "threads": 9}
    held_after = {"megabytes": 102.5, "files": 5, "threads": 8}
    result = {"tried": 2000, "seconds": 60, "problems": [], "peak": 300, "before": held_before}
    result["after"] = held_after
    assert row("crf", result).split() == [
        "crf", "2,000", "60", "100", "102", "2.5%", "300", "5", "→", "5", "9", "→", "8", "0",
    ]  # fmt: skip
    short = {"tried": 3, "seconds": 1, "problems": ["too short"]}
    assert row("demo", short).split() == ["demo", "3", "1", "1"]
    assert closing_line({"crf": result, "demo": short}) == "soak: tried 2,003, found 1, 1 open"


def test_the_picture_is_small(tmp_path):
    curve = [[percent, 500 + percent] for percent in range(100)]
    draw({"crf": {"curve": curve}, "demo": {"problems": ["too short"]}}, tmp_path / "memory.png")
    assert 5_000 < (tmp_path / "memory.png").stat().st_size < 100_000


def test_crf_calls_in_four_threads_are_right(capsys):
    crf_soak_worker.main(12, 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "done 12" and all(re.fullmatch(r"done \d+", line) for line in lines)


def test_a_wrong_result_of_the_crf_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(crf_soak_worker, "refine", lambda probabilities, *_: 2 * probabilities)
    crf_soak_worker.main(6, 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "done" not in line]
    assert lines and all(re.match(r"call \d, refine of .*: no probabil", line) for line in lines)


@pytest.mark.slow
def test_a_short_soak_of_training_prediction_and_crf():
    script = ROOT / "benchmarks" / "soak.py"
    # So short a time says nothing of the growth of memory.
    flags = "--parts=training,prediction,crf", "--scale=0.03", "--growth=9"
    done = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "soak: tried 210, found 0, 0 open"
