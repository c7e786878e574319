"""Summaries are read back by TensorBoard's own reader; the clock of the bar is set by hand."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deeplab_tf.training import summaries as module
from deeplab_tf.training.summaries import Progress, Summaries
from deeplab_tf.training.validation import Validated


def read(folder):
    return EventAccumulator(str(folder), purge_orphaned_data=True).Reload()


def curve(folder, name="loss"):
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def test_scalars_are_what_tensorboard_reads(tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.scalars(20, {"loss": 0.5, "learning_rate": np.float32(0.25)})
        summaries.scalars(40, {"loss": 0.125})
    assert curve(tmp_path) == [(20, 0.5), (40, 0.125)]
    assert curve(tmp_path, "learning_rate") == [(20, 0.25)]


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


def test_a_text_is_what_tensorboard_reads(tmp_path):
    for first_step in (1, 1, 4):  # killed before the first checkpoint, then after step 3
        Summaries(tmp_path, first_step, f"from step **{first_step}**").__exit__()
    # The reader of TensorBoard itself, which also drops texts.
    events = plugin_event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert "settings" in events.PluginTagToContent("text")
    found = [(event.step, event.tensor_proto.string_val[0]) for event in events.Tensors("settings")]
    assert found == [(1, b"from step **1**"), (4, b"from step **4**")]


def test_a_validation_is_a_score_curves_and_pictures(tmp_path):
    with Summaries(tmp_path) as summaries:
        picture = np.zeros((2, 3, 3), np.uint8)
        summaries.validation(4, Validated(0.5, [picture], {"class_iou/sky": 0.25}))
        summaries.validation(8, Validated(0.75, []))
    assert curve(tmp_path, "validation_score") == [(4, 0.5), (8, 0.75)]
    assert curve(tmp_path, "class_iou/sky") == [(4, 0.25)]
    assert [event.step for event in read(tmp_path).Images("validation/0")] == [4]


def write(folder, first_step, loss, last_step=5):
    with Summaries(folder, first_step) as summaries:
        for step in range(first_step, last_step + 1):
            summaries.scalars(step, {"loss": loss})


def test_a_restart_replaces_the_points_from_its_first_step_on(tmp_path):
    for first_step, loss in ((1, 1.0), (4, 2.0), (3, 4.0)):
        write(tmp_path, first_step, loss)
    assert curve(tmp_path) == [(1, 1.0), (2, 1.0), (3, 4.0), (4, 4.0), (5, 4.0)]


def test_a_restart_after_the_clock_was_set_back_replaces_them_too(tmp_path, monkeypatch):
    for now, (first_step, loss) in zip(
        (2e9, 1e9, 1.5e9), ((1, 1.0), (4, 2.0), (3, 4.0)), strict=True
    ):
        monkeypatch.setattr(module.time, "time", lambda now=now: now)
        write(tmp_path, first_step, loss)
    assert curve(tmp_path) == [(1, 1.0), (2, 1.0), (3, 4.0), (4, 4.0), (5, 4.0)]


def test_points_are_on_disk_at_once(tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.scalars(1, {"loss": 0.5})
        assert curve(tmp_path) == [(1, 0.5)]


def test_a_point_cut_short_by_a_kill_is_replaced(tmp_path):
    write(tmp_path, 1, 1.0, last_step=2)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    write(tmp_path, 2, 2.0, last_step=2)
    assert curve(tmp_path) == [(1, 1.0), (2, 2.0)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_rate_leaves_out_the_first_step_and_pauses(clock, capsys):
    with Progress(start=0, total=10, batch_size=6) as progress:
        clock[0] += 30.0  # builds the graph
        progress.update(1.0)
        assert progress.images_per_second == 0
        clock[0] += 2.0
        progress.update(1.0)
        assert progress.images_per_second == pytest.approx(3.0)
        clock[0] += 500.0  # a validation
        progress.resume()
        assert progress.lap() == pytest.approx(532.0)
        clock[0] += 4.0
        progress.update(1.0)
        assert progress.mean_images_per_second == pytest.approx(2 * 6 / (2.0 + 4.0))
        assert progress.lap() == pytest.approx(4.0)


def test_bar_shows_step_loss_and_rate(clock, capsys):
    with Progress(start=3, total=5, batch_size=4) as progress:
        for _ in range(2):
            clock[0] += 0.5
            progress.update(0.125)
        progress.print("a line")
    printed = capsys.readouterr()
    assert "step 5/5" in printed.err
    assert "loss 0.1250, 8.0 images/s" in printed.err
    assert "a line" in printed.out


def run_steps(clock, total, seconds, shown=True):
    """Steps of 8 images that take this many seconds each, the first one ten minutes."""
    with Progress(start=0, total=total, batch_size=8, shown=shown) as progress:
        clock[0] += 600.0  # builds the graph
        progress.update(1.0)
        for step_seconds in seconds:
            clock[0] += step_seconds
            progress.update(1.0)


@pytest.mark.parametrize(
    ("total", "estimate"),
    [
        (66, "about 2 minutes to go: 60 steps at 4.0 images/s, without validation\n"),
        (3606, "about 2 hours to go: 3600 steps at 4.0 images/s, without validation\n"),
        (35, ""),  # less than a minute
    ],
)
def test_the_time_to_go_is_said_early(clock, capsys, total, estimate):
    run_steps(clock, total, [4.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    assert capsys.readouterr().out == estimate


def test_the_time_of_the_first_step_is_not_in_the_time_to_go(clock, capsys):
    run_steps(clock, 6, [2.0] * 5)
    printed = capsys.readouterr()
    assert "step 6/6" in printed.err and "00:00 to go, loss 1.0000, 4.0 images/s" in printed.err
    run_steps(clock, 40, [2.0] * 9)
    assert "step 10/40" in (shown := capsys.readouterr().err) and "01:00 to go" in shown


def test_other_workers_say_nothing(clock, capsys):
    run_steps(clock, 3606, [2.0] * 6, shown=False)
    assert capsys.readouterr() == ("", "")
