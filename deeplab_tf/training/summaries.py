"""Showing a training run: curves and pictures in TensorBoard, and a progress bar."""

import os
import re
import socket
import sys
import time
from pathlib import Path

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.record_writer import RecordWriter
from tqdm import tqdm

_BAR = "{l_bar}{bar}| step {n_fmt}/{total_fmt} [{elapsed}{postfix}]"

# Weight of the newest step in the running mean of the time per step.
_SMOOTHING = 0.05

# Steps after the first one that the first estimate of the whole time is made from.
_ESTIMATE_AFTER = 5


class Summaries:
    """Writes curves and pictures of one training run; each is on disk when the method returns.

    A restarted training writes a new file. It begins with a mark that makes TensorBoard drop the
    points of earlier files from `first_step` on, since they will be written again.
    `tf.summary` cannot write that mark, and TensorBoard's `EventFileWriter` writes in a thread,
    which prints a stack trace when the disk is full.

    Args:
      folder: where TensorBoard looks; created if it is missing.
      first_step: the first training step that is written to this file.
      description: text in Markdown that is shown as "settings"; "": none.

    Raises:
      OSError: from every method, if the disk is full.

    Example:
      >>> with Summaries("runs/demo/train", first_step=1) as summaries:
      ...     summaries.scalars(20, {"loss": 0.5})
    """

    def __init__(self, folder, first_step=1, description=""):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        moment = f"{_moment_after(folder):017.6f}"
        name = f"events.out.tfevents.{moment}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        self._add(step=first_step, session_log=SessionLog(status=SessionLog.START))
        if description:
            self.text(first_step, "settings", description)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def scalars(self, step, values):
        """Add one point to each curve of `values`, a dict from name to number."""
        points = [Summary.Value(tag=name, simple_value=v) for name, v in values.items()]
        self._add(step=step, summary=Summary(value=points))

    def pictures(self, step, name, pictures):
        """Show RGB pictures, each `(H, W, 3)` uint8, as "name/0", "name/1", ..."""
        values = [
            Summary.Value(tag=f"{name}/{i}", image=_encode(picture))
            for i, picture in enumerate(pictures)
        ]
        self._add(step=step, summary=Summary(value=values))

    def validation(self, step, found):
        """Show the score, the curves and the pictures of a `Validated`."""
        self.scalars(step, {"validation_score": found.score, **found.curves})
        if found.pictures:
            self.pictures(step, "validation", found.pictures)

    def text(self, step, name, markdown):
        """Show a text in Markdown."""
        metadata = SummaryMetadata(plugin_data={"plugin_name": "text"})
        tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()])
        value = Summary.Value(tag=name, metadata=metadata, tensor=tensor)
        self._add(step=step, summary=Summary(value=[value]))

    def _add(self, **content):
        self._records.write(Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()  # a killed run must not lose points before its checkpoint


def _moment_after(folder):
    """The time, but later than that in the name of each event file in a folder.

    TensorBoard reads files in the order of their names, and the clock may have been set back.
    """
    names = (path.name for path in folder.glob("events.out.tfevents.*"))
    found = (re.match(r"events\.out\.tfevents\.(\d{10}(?:\.\d{6})?)\b", name) for name in names)
    return max([time.time(), *(float(match[1]) + 0.001 for match in found if match)])


def _encode(picture):
    height, width, _ = picture.shape
    png = tf.io.encode_png(picture).numpy()
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)


class Progress:
    """A bar with step, remaining time, loss and images per second, without validation time.

    After a few steps it also prints a line with the time that the rest of the run will take, so
    that nobody waits for hours to learn that it takes days.

    Args:
      start: steps made earlier, which the estimate of the remaining time leaves out.
      total: steps of the whole run.
      batch_size: images per step.
      shown: whether anything is printed.
    """

    def __init__(self, start, total, batch_size, shown=True):
        self._batch_size, self._steps_to_go = batch_size, total - start
        self._step_seconds = self._all_seconds = 0.0
        self._lap_start = time.perf_counter()
        self._timed = -1  # steps; the first one also builds the graph, so its time is not counted
        # A log file gets a line every half minute, a terminal a bar that moves.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            initial=start,
            total=total,
            bar_format=_BAR,
            mininterval=interval,
            disable=not shown,
        )
        self.resume()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._bar.close()

    @property
    def images_per_second(self):
        """Running mean over about twenty steps; 0 before the second step."""
        return self._batch_size / self._step_seconds if self._step_seconds else 0.0

    @property
    def mean_images_per_second(self):
        """Mean over all steps but the first; 0 before the second step."""
        return self._batch_size * self._timed / self._all_seconds if self._all_seconds else 0.0

    def lap(self):
        """Seconds since the last call, or since the start, with the time of validations."""
        start, self._lap_start = self._lap_start, time.perf_counter()
        return self._lap_start - start

    def update(self, loss):
        """Advance by one step that had this loss."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self._timed, self._steps_to_go = self._timed + 1, self._steps_to_go - 1
        text = f"loss {loss:.4f}"
        if self._timed:
            weight = max(_SMOOTHING, 1 / self._timed)  # of the first steps, the plain mean
            self._step_seconds += weight * (seconds - self._step_seconds)
            self._all_seconds += seconds
            rest = tqdm.format_interval(self._seconds_to_go)
            text = f"{rest} to go, {text}, {self.images_per_second:.1f} images/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()
        is_long = self._seconds_to_go >= 60
        if self._timed == _ESTIMATE_AFTER and is_long and not self._bar.disable:
            self._print_estimate(self._seconds_to_go / 3600)

    @property
    def _seconds_to_go(self):
        return self._step_seconds * self._steps_to_go

    def _print_estimate(self, hours):
        words = f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.0f} hours"
        rate = f"{self.images_per_second:.1f} images/s"
        self.print(f"about {words} to go: {self._steps_to_go} steps at {rate}, without validation")

    def resume(self):
        """Start the clock of the next step now; time since the last step is not counted."""
        self._since = time.perf_counter()

    def print(self, text):
        """Print a line above the bar."""
        self._bar.write(text)
