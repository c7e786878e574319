"""What a training shows in TensorBoard."""

import time
from pathlib import Path

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from deeplab_tf.training.event_files import EventFile, remove_events_after


class Summaries:
    """Writes curves and pictures of one training, without repeated steps after a restart.

    What an earlier run has written for later steps is removed from its files. A TensorBoard that
    has read it already is told to drop it, for which `tf.summary` has no way.

    Args:
      folder: where TensorBoard looks; created if absent.
      start: number of training steps made before.
      again: what the names begin with of what will be written for step `start` once more, such
        as "validation"; None: nothing.
    """

    def __init__(self, folder, start=0, again=None):
        remove_events_after(Path(folder), start, again)
        self._file = EventFile(Path(folder))
        self._add(start + 1, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def scalars(self, step, values):
        """Add one point to each curve of `values`, a dict from name to number."""
        points = [Summary.Value(tag=name, simple_value=v) for name, v in values.items()]
        self._add(step, summary=Summary(value=points))

    def pictures(self, step, name, pictures):
        """Show RGB pictures, each `(H, W, 3)` uint8, as "name/0", "name/1", ..."""
        values = [
            Summary.Value(tag=f"{name}/{i}", image=_encode(picture))
            for i, picture in enumerate(pictures)
        ]
        self._add(step, summary=Summary(value=values))

    def _add(self, step, **content):
        self._file.write(Event(wall_time=time.time(), step=step, **content))


def _encode(picture):
    height, width, _ = picture.shape
    png = tf.io.encode_png(picture).numpy()
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
