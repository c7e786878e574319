"""TensorBoard's files: a writer, and taking back what a restarted training will write again."""

import contextlib
import os
import socket
import time

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

# Bytes of a record that are not its contents: the length, and a checksum of either.
_RECORD_OVERHEAD = 16


class EventFile:
    """A new file of events, each of which is with the operating system once it is written.

    TensorBoard's own writer keeps events back for up to two minutes, in a thread: a training
    that is killed would leave a checkpoint without the points of the curve before it.

    Args:
      folder: `pathlib.Path` of where TensorBoard looks; created if absent.

    Raises:
      OSError: from every method, where the disk is full.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self.write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event):
        """Append an `Event`."""
        self._records.write(event.SerializeToString())
        self._file.flush()

    def close(self):
        """Close the file."""
        self._file.close()


def remove_events_after(folder, step, also=None):
    """Remove the points and pictures of later steps from all event files of a folder.

    A record that a kill has cut short goes too.

    Args:
      folder: `pathlib.Path`; it may be absent.
      step: the last step that is left.
      also: what the names begin with of points of `step` itself that are removed; None: nothing.
    """

    def stays(event):
        names = [value.tag for value in event.summary.value]
        again = also and event.step == step and any(name.startswith(also) for name in names)
        return not names or (event.step <= step and not again)

    for path in sorted(folder.glob("*tfevents*")):
        spans = _spans(path, stays)
        if sum(length for _, length in spans) < path.stat().st_size:
            _keep_spans(path, spans)


def _spans(path, stays):
    """Where the events that stay lie in a file: a list of (first byte, length)."""
    spans, start = [], 0
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event, length = Event.FromString(record), len(record) + _RECORD_OVERHEAD
            if stays(event):
                spans.append((start, length))
            start += length
    return spans


def _keep_spans(path, spans):
    partial = path.with_name(f".{path.name.replace('tfevents', 'partial')}")
    try:
        with path.open("rb") as old, partial.open("wb") as new:
            for start, length in spans:
                old.seek(start)
                new.write(old.read(length))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
