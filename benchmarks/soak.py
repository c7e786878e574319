"""Does memory stop growing? Long work of every kind, each in a process that is watched.

    make soak [SOAK_FLAGS="--parts=training,crf --scale=0.1"]

The parts: `deeplab-tf train` (3,000 steps), `deeplab-tf predict --crf` (2,000 photographs of
changing sizes), the CRF (2,000 calls from 4 threads), an exported model and the page of
`deeplab-tf demo` (an hour each, under load). The page is left out, with a notice, where Gradio is
missing.

The memory of a process must not be more than 5 % higher in the last tenth of the work than just
after the first tenth, and the numbers of its open files and threads not higher at all. All are
medians, since what one call needs comes and goes. In a run of minutes, with a small --scale, memory
and threads may still grow because the work has just begun; only long runs tell. Wrong results and
crashes are found, too. The last line counts what was tried, and what was found. The exit status is
1 if anything was.

--json_out collects the figures, and --picture draws them; parts that are not run keep those that
the file has.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags

from benchmarks.process_samples import before_and_after, thinned, watch
from benchmarks.soak_parts import PARTS, Skipped
from benchmarks.soak_report import HEAD, closing_line, draw, judge, row
from deeplab_tf.files import write_file

FLAGS = flags.FLAGS

flags.DEFINE_list("parts", list(PARTS), f"What is run, of: {', '.join(PARTS)}.")
flags.DEFINE_integer("steps", 3000, "Training steps.", lower_bound=1)
flags.DEFINE_integer("predictions", 2000, "Photographs to label.", lower_bound=1)
flags.DEFINE_integer("calls", 2000, "CRF calls.", lower_bound=1)
flags.DEFINE_integer("threads", 4, "Threads of the CRF calls and of the requests.", lower_bound=1)
flags.DEFINE_float("minutes", 60, "How long each of the two servers is under load.", lower_bound=0)
flags.DEFINE_float("scale", 1, "Factor of all numbers above but threads.", lower_bound=0)
flags.DEFINE_float("growth", 0.05, "Share by which memory may grow after the first tenth.")
flags.DEFINE_string("json_out", None, "File that keeps the figures of all parts.")
flags.DEFINE_string("picture", None, "PNG file of the memory curves in --json_out.")

CURVE_POINTS = 150


def settings():
    """How much of everything is done."""
    counts = {
        name: max(1, round(FLAGS[name].value * FLAGS.scale))
        for name in ("steps", "predictions", "calls")
    }
    return SimpleNamespace(**counts, minutes=FLAGS.minutes * FLAGS.scale, threads=FLAGS.threads)


def run_part(name):
    """Run a part; returns what was found, as it is written to --json_out."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with PARTS[name](Path(folder), settings()) as load:
            samples = watch(load.process, load.done, load.is_over)
            tried = load.tried()
        problems = list(dict.fromkeys(load.problems))
    both = before_and_after(samples, load.total)
    result = {"tried": tried, "seconds": round(time.monotonic() - start), "problems": problems}
    if both is None:
        problems.append("too short to compare memory: give more steps, calls or minutes")
        return result
    before, after = both
    problems += judge(before, after, FLAGS.growth)
    measured = ("megabytes", "files", "threads")
    for key, sample in (("before", before), ("after", after)):
        result[key] = {what: round(getattr(sample, what), 1) for what in measured}
    result["peak"] = round(max(sample.megabytes for sample in samples), 1)
    result["curve"] = [
        [round(100 * min(1, one.done / load.total), 1), round(one.megabytes, 1)]
        for one in thinned(samples, CURVE_POINTS)
    ]
    return result


def main(_):
    """Run the parts, print the table and write the files."""
    if unknown := set(FLAGS.parts) - set(PARTS):
        sys.exit(f"error: --parts: no {', '.join(unknown)}; available: {', '.join(PARTS)}")
    if FLAGS.picture and not FLAGS.json_out:
        sys.exit("error: --picture draws what is in --json_out: give both")
    kept = Path(FLAGS.json_out) if FLAGS.json_out else None
    results = json.loads(kept.read_text("utf-8")) if kept and kept.is_file() else {}
    print(HEAD, flush=True)
    found = {}
    for name in FLAGS.parts:
        try:
            found[name] = run_part(name)
        except Skipped as reason:
            print(f"{name}: left out, {reason}", flush=True)
            continue
        print(row(name, found[name]), flush=True)
        results[name] = found[name]
        if kept:
            lines = [f'"{part}": {json.dumps(results[part])}' for part in PARTS if part in results]
            write_file(kept, b"{\n" + ",\n".join(lines).encode() + b"\n}\n")
    if FLAGS.picture:
        draw(results, FLAGS.picture)
    for name, result in found.items():
        for problem in result["problems"]:
            print(f"found in {name}: {problem}")
    print(closing_line(found))
    if any(result["problems"] for result in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
