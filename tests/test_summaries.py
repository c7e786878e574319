import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from deeplab_tf.training.summaries import Summaries


@pytest.fixture(autouse=True)
def _event_files_in_order(monkeypatch):
    # TensorBoard reads the files of one second in the order of this number as text, where 10
    # comes before 9. Only tests restart a training within a second.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


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
