"""What a training shows in TensorBoard."""

import time

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class Summaries:
    """Writes curves and pictures of one training, without repeated steps after a restart.

    The events are written directly because `tf.summary` has no way to say that a run begins
    again at a step, which makes TensorBoard drop what it has read from that step on.

    Args:
      folder: where TensorBoard looks; created if absent.
      start: number of training steps made before.
    """

    def __init__(self, folder, start=0):
        self._writer = EventFileWriter(str(folder))
        self._add(start + 1, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._writer.close()

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
        self._writer.flush()

    def _add(self, step, **content):
        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))


def _encode(picture):
    height, width, _ = picture.shape
    png = tf.io.encode_png(picture).numpy()
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
