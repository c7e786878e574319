"""The parts of benchmarks/soak.py: each starts a process, and keeps it at work.

Each part is a context manager that yields a `Load`.
"""

import contextlib
import importlib.util
import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

from benchmarks.process_samples import Printed
from benchmarks.serving_load import prepare, start_worker
from deeplab_tf.data.synthetic import draw_scene, write_synthetic
from deeplab_tf.visualize import encode_picture

ROOT = Path(__file__).resolve().parents[1]
MODEL = "msrc21"
SIDES = 64, 256  # pixels of the photographs whose sizes change


class Skipped(Exception):
    """A part cannot run here; the message says why."""


@dataclass
class Load:
    """A process at work.

    Attributes:
      process: `subprocess.Popen`.
      total: the whole work, in steps, calls or seconds.
      done: function that returns how much of it is done; None before the first.
      is_over: function that returns whether it is over though the process goes on.
      tried: function that returns how many steps, calls or requests were made.
      problems: what went wrong, list of str; complete when the part has ended.
    """

    process: Popen
    total: float
    done: Callable
    tried: Callable
    is_over: Callable = lambda: False
    problems: list = field(default_factory=list)


def scene(number, size=None):
    """A photograph (H, W, 3) uint8 of random size."""
    draw = random.Random(number)
    size = size or (draw.randint(*SIDES), draw.randint(*SIDES))
    image, _ = draw_scene(np.random.default_rng(number), (256, 256))
    return image[: size[0], : size[1]]


@contextlib.contextmanager
def _command(folder, name, *arguments):
    """Run a command of tools/ as a process; yields it, and a list for what went wrong."""
    problems, log = [], folder / "output.txt"
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, arguments)]
    with log.open("w") as file, _ended(Popen(command, stdout=file, stderr=file)) as process:
        yield process, problems
        if process.wait():
            problems.append(f"{name} ended with status {process.returncode}: {log.read_text()}")


@contextlib.contextmanager
def _ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def training(folder, settings):
    """`deeplab-tf train` of a small network, with checkpoints, validations and curves."""
    data, model = folder / "data", folder / "model"
    write_synthetic(data, num_train=40, num_val=8, size=(128, 128))
    steps = settings.steps
    flags = ["--backbone=mobilenetv3small", "--head=large_fov", "--weights=none", "--batch_size=2"]
    flags += ["--bn_momentum=0.9", "--crop_size=65", "--eval_images=4", "--log_every=10"]
    flags += [f"--checkpoint_every={max(1, steps // 30)}", f"--eval_every={max(1, steps // 10)}"]
    flags += [f"--data_dir={data}", f"--model_dir={model}", f"--steps={steps}"]

    def done():
        names = [path.stem for path in (model / "checkpoints").glob("step-*.index")]
        return max((int(name.removeprefix("step-")) for name in names), default=None)

    with _command(folder, "train", *flags) as (process, problems):
        yield Load(process, steps, done, lambda: done() or 0, problems=problems)


@contextlib.contextmanager
def prediction(folder, settings):
    """`deeplab-tf predict --crf` of photographs of changing sizes."""
    images, out = folder / "images", folder / "out"
    images.mkdir()
    for number in range(settings.predictions):
        path = images / f"{number:05d}.png"
        path.write_bytes(encode_picture(scene(number)))

    def done():
        return len(list(out.glob("[0-9]????.png"))) or None  # without the overlays

    flags = f"--model={MODEL}", "--crf", f"--out_dir={out}", images
    with _command(folder, "predict", *flags) as (process, problems):
        yield Load(process, settings.predictions, done, lambda: done() or 0, problems=problems)


@contextlib.contextmanager
def crf_calls(folder, settings):
    """CRF calls of several threads of one process."""
    command = [sys.executable, "-m", "benchmarks.crf_soak_worker"]
    command += [str(settings.calls), str(settings.threads)]
    with _ended(Popen(command, stdout=PIPE, text=True, cwd=ROOT)) as process:
        printed = Printed(process.stdout)
        load = Load(process, settings.calls, lambda: printed.done or None, lambda: printed.done)
        yield load
        process.wait()
        printed.join()
        load.problems += printed.lines
        if printed.done != settings.calls:
            load.problems.append(f"only {printed.done} of {settings.calls} calls were made")


@contextlib.contextmanager
def serving(folder, settings):
    """An exported model with the CRF, under requests of mixed sizes and broken ones."""
    prepare(folder, MODEL)
    worker = start_worker(folder, settings.minutes, settings.threads)
    with _ended(worker) as process:
        printed, clock = Printed(process.stdout), Clock()
        load = Load(
            process,
            60 * settings.minutes,
            lambda: None if printed.done is None else clock.seconds(),
            lambda: printed.done,
        )
        yield load
        printed.join()
        if process.wait():
            load.problems.append(f"the worker ended with status {process.returncode}")
        else:
            load.problems += json.loads(printed.lines[-1])["problems"]


class Clock:
    """Seconds since they were first asked for."""

    def __init__(self):
        self._start = None

    def seconds(self):
        """Seconds since the first call."""
        self._start = self._start or time.monotonic()
        return time.monotonic() - self._start


@contextlib.contextmanager
def demo(folder, settings):
    """`deeplab-tf demo`, with visitors who upload photographs, move sliders and download."""
    if importlib.util.find_spec("gradio") is None:
        raise Skipped('the page needs Gradio: pip install "deeplab-tf[demo]"')
    sys.path.append(str(ROOT / "tests" / "support"))
    from demo_client import running_demo  # speaks as the page in a browser does

    with running_demo(f"--model={MODEL}", cwd=folder) as page:
        visits, clock = Visits(page, 60 * settings.minutes), Clock()
        visitors = [threading.Thread(target=visits.visit, args=[i]) for i in range(3)]
        for visitor in visitors:
            visitor.start()
        yield Load(
            page.process,
            60 * settings.minutes,
            clock.seconds,
            lambda: len(visits.made),
            lambda: not any(visitor.is_alive() for visitor in visitors),
            visits.problems,
        )


class Visits:
    """What visitors of the page do, and what they find wrong.

    Attributes:
      made: list with the visitor of each visit so far.
      problems: list of str.
    """

    def __init__(self, page, seconds):
        self._page, self._end = page, time.monotonic() + seconds
        self.made, self.problems = [], []

    def visit(self, visitor):
        """Come again until the time is over."""
        draw = random.Random(visitor)
        while time.monotonic() < self._end:
            try:
                (self._bad if draw.random() < 0.2 else self._good)(draw)
            except Exception as error:
                self.problems.append(f"a visit: {type(error).__name__}: {error}"[:500])
            self.made.append(visitor)

    def _good(self, draw):
        page = self._page
        status, path = page.upload(encode_picture(scene(draw.randrange(10**6))))
        if status != 200:
            self.problems.append(f"a photograph was refused: {path}")
            return
        for _ in range(3):  # the same photograph with other parameters
            numbers = draw.randint(0, 9), draw.choice([30, 67]), draw.randint(2, 9), 3, 3, 5
            shown = page.event(0, {"path": path, "meta": {"_type": "gradio.FileData"}},
                               MODEL, *numbers)  # fmt: skip
            html = "".join(part for part in shown[-2:] if isinstance(part, str))
            if "stage" not in html:
                self.problems.append(f"no results are shown: {html}"[:500])
        for link in re.findall(r'href="([^"]+)"', html):
            if page.request("GET", unescape(link))[0] != 200:
                self.problems.append(f"a download failed: {link}")

    def _bad(self, draw):
        contents = draw.randbytes(draw.randrange(5000))
        if draw.random() < 0.5:
            contents = encode_picture(scene(draw.randrange(10**6)))[:2000]
        if "problem" not in self._page.take(contents):
            self.problems.append("what is no photograph was taken for one")


PARTS = {
    "training": training,
    "prediction": prediction,
    "crf": crf_calls,
    "serving": serving,
    "demo": demo,
}
