import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event

from deeplab_tf.training.summaries import Summaries


def read(folder):
    return EventAccumulator(str(folder)).Reload()


def test_scalars_are_what_tensorboard_reads(tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.scalars(20, {"loss": 0.5, "learning_rate": np.float32(0.25)})
        summaries.scalars(40, {"loss": 0.125})
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(20, 0.5), (40, 0.125)]
    assert [(e.step, e.value) for e in events.Scalars("learning_rate")] == [(20, 0.25)]


def test_pictures_are_lossless(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    with Summaries(tmp_path) as summaries:
        summaries.pictures(3, "validation", list(pictures))
    events = read(tmp_path)
    for i, picture in enumerate(pictures):
        (event,) = events.Images(f"validation/{i}")
        assert (event.step, event.height, event.width) == (3, 5, 7)
        decoded = tf.io.decode_png(event.encoded_image_string).numpy()
        np.testing.assert_array_equal(decoded, picture)


@pytest.mark.parametrize("restart, kept", [(0, []), (2, [1, 2]), (3, [1, 2, 3])])
def test_a_restart_takes_back_the_steps_after_it(tmp_path, restart, kept):
    with Summaries(tmp_path) as summaries:
        for step in (1, 2, 3, 4):
            summaries.scalars(step, {"loss": 1.0})
    with Summaries(tmp_path, start=restart) as summaries:
        for step in range(restart + 1, 6):
            summaries.scalars(step, {"loss": 2.0})
    points = {e.step: e.value for e in read(tmp_path).Scalars("loss")}
    assert sorted(points) == [1, 2, 3, 4, 5]
    assert [step for step, value in points.items() if value == 1.0] == kept
    assert len(read(tmp_path).Scalars("loss")) == 5


def stored(folder):
    """Steps and losses as they lie in all files: a kill leaves no word to a reader."""
    events = [
        Event.FromString(record)
        for path in sorted(folder.iterdir())
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    return [(e.step, v.simple_value) for e in events for v in e.summary.value]


def test_what_is_taken_back_lies_in_no_file(tmp_path):
    for start, loss in ((0, 1.0), (3, 2.0), (2, 4.0)):
        with Summaries(tmp_path, start=start) as summaries:
            for step in range(start + 1, 6):
                summaries.scalars(step, {"loss": loss})
    assert stored(tmp_path) == [(1, 1.0), (2, 1.0), (3, 4.0), (4, 4.0), (5, 4.0)]
    assert all("tfevents" in path.name for path in tmp_path.iterdir())


def test_points_are_on_disk_at_once(tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.scalars(1, {"loss": 0.5})
        assert stored(tmp_path) == [(1, 0.5)]


def test_a_point_that_a_kill_cut_short_is_written_again(tmp_path):
    with Summaries(tmp_path) as summaries:
        for step in (1, 2):
            summaries.scalars(step, {"loss": 1.0})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    with Summaries(tmp_path, start=1) as summaries:
        summaries.scalars(2, {"loss": 2.0})
    assert stored(tmp_path) == [(1, 1.0), (2, 2.0)]
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 2.0)]
