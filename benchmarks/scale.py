"""Labeling many images on a Ray cluster on this machine against plain predict, and at any size.

    python benchmarks/scale.py --data_dir=DATA [--images=60]

DATA is a data set in VOC layout, such as CamVid. Each row is the command
`predict --model=msrc21 --crf` on the same images of 480x360 pixels: without Ray, with one worker
that has all processors, and with two workers that have half of them each. The rate is that of the
label files after the first fifth, so that starting Ray and opening the network are not part of it;
they are the seconds before the first label file. Plain predict also draws an overlay of each image,
which --runner=ray does not. Memory is the peak of the driver and of all workers together.

The next line is what handing out, collecting and counting an image takes in the driver, measured
with workers that do nothing. The last table extends the rate of this machine to a cluster of such
machines: see docs/scale.md for the assumptions. It needs the extra [ray].
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(ROOT)

import cv2
from absl import app, flags
from tqdm import tqdm

from benchmarks.photographs import find_examples
from crf.threads import available_threads
from deeplab_tf.data.image_files import load_image
from deeplab_tf.scale.pool import Task, WorkerPool
from deeplab_tf.scale.session import WorkerPlan, ray_session
from deeplab_tf.scale.worker import Worker, start_workers

FLAGS = flags.FLAGS

flags.DEFINE_integer("images", 60, "Images of each row.", lower_bound=5)
flags.DEFINE_string("data_dir", None, "Data set in VOC layout, for photographs.", required=True)
flags.DEFINE_integer("idle_images", 20000, "Images that idle workers get.", lower_bound=64)
flags.DEFINE_integer("part", 64, "The --ray_part of all rows.", lower_bound=1)
flags.DEFINE_float("node_price", 0.1, "Dollars that a machine like this costs in an hour.")

WIDTH, HEIGHT = 480, 360
SECONDS_BETWEEN_LOOKS = 0.2
SIZES = (10**6, 10**8)  # images
NODES = (1, 10, 100, 1000)


class Idle(Worker):
    """A worker that does nothing."""

    def work(self, part):
        """Return at once."""
        return []


def write_images(folder):
    """Write the images, as JPEG files of 480x360 pixels."""
    folder.mkdir()
    found, _ = find_examples(FLAGS.data_dir, folder.parent, FLAGS.images)
    for number in range(FLAGS.images):
        image = cv2.resize(load_image(found[number % len(found)].image), (WIDTH, HEIGHT))
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), image[..., ::-1])


def megabytes(process, is_worker):
    """Memory that a process holds, in megabytes; 0 if it is gone, or no worker where one is meant.

    Args:
      process: Path in /proc.
      is_worker: whether it must be one of `predict`.
    """
    with contextlib.suppress(OSError, TypeError):
        if not is_worker or (process / "cmdline").read_bytes().startswith(b"ray::Labeler"):
            status = (process / "status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    return 0


def run_command(images, out_dir, *arguments):
    """Run predict.

    Returns:
      dict of images a second, the seconds before the first labels, and megabytes.
    """
    script = str(ROOT / "tools" / "predict.py")
    command = [sys.executable, script, "--model=msrc21", "--crf", f"--out_dir={out_dir}"]
    start, driver, workers = time.time(), 0, 0
    process = subprocess.Popen(
        [*command, *arguments, str(images)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        driver = max(driver, megabytes(Path("/proc", str(process.pid)), False))
        found = Path("/proc").glob("[0-9]*")
        workers = max(workers, sum(megabytes(one, True) for one in found))
    if process.returncode:
        sys.exit(process.stderr.read().decode())
    files = [path for path in out_dir.glob("*.png") if not path.stem.endswith("_overlay")]
    times = sorted(path.stat().st_mtime for path in files)
    first = len(times) // 5
    rate = (len(times) - 1 - first) / (times[-1] - times[first])
    return {"rate": rate, "start": times[0] - start, "driver": driver, "workers": workers}


def idle_seconds(ray):
    """Seconds for an image of which the workers do nothing."""
    pool = WorkerPool(ray, start_workers(ray, Idle, WorkerPlan(1, 1, 0), None), 1)
    count = FLAGS.idle_images // FLAGS.part
    items = [("source", "name", "label", "place", None, "")] * FLAGS.part
    list(pool.run([Task(("0", items))], lambda task: [task]))  # the worker has started
    start = time.perf_counter()
    for _ in tqdm(pool.run([Task((str(i), items)) for i in range(count)], lambda task: [task]),
                  total=count, unit="part", leave=False):  # fmt: skip
        pass
    pool.close()
    return (time.perf_counter() - start) / (count * FLAGS.part)


def print_model(rate, overhead):
    """Print hours and dollars for clusters of machines like this one."""
    print(f"\n{'images':>12}{'machines':>10}{'images/s':>10}{'hours':>10}{'dollars':>10}  limit")
    for count in SIZES:
        for nodes in NODES:
            reached = min(nodes * rate, 1 / overhead)
            hours = count / reached / 3600
            limit = "driver" if reached < nodes * rate else "machines"
            dollars = hours * nodes * FLAGS.node_price
            print(f"{count:12,}{nodes:10,}{reached:10.2f}{hours:10.1f}{dollars:10.0f}  {limit}")


def main(_):
    """Print the tables."""
    threads = available_threads()
    ray = "--runner=ray", f"--ray_part={FLAGS.part}"
    half = max(1, threads // 2)
    cases = {
        "plain predict": (),
        f"1 worker of {threads}": (*ray, "--ray_workers=1", f"--ray_cpus={threads}"),
        f"2 workers of {half}": (*ray, "--ray_workers=2", f"--ray_cpus={half}"),
    }
    print(
        f"{'':20}{'images/s':>10}{'to plain':>10}{'start s':>10}{'driver MB':>11}{'workers MB':>12}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, rates = Path(name), {}
        write_images(folder / "images")
        for number, (case, arguments) in enumerate(cases.items()):
            found = run_command(folder / "images", folder / str(number), *arguments)
            rates[case] = found["rate"]
            ratio = found["rate"] / rates["plain predict"]
            print(
                f"{case:20}{found['rate']:10.2f}{ratio:10.2f}{found['start']:10.1f}"
                f"{found['driver']:11.0f}{found['workers']:12.0f}",
                flush=True,
            )
    with ray_session() as connected:
        overhead = idle_seconds(connected)
    print(f"engine: {1e6 * overhead:.1f} microseconds of the driver for an image")
    print_model(max(list(rates.values())[1:]), overhead)


if __name__ == "__main__":
    app.run(main)
