import pytest

from deeplab_tf.training import progress as module
from deeplab_tf.training.progress import Progress


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
        clock[0] += 2.0
        progress.update(1.0)
        assert progress.images_per_second == pytest.approx(3.0)


def test_bar_shows_step_loss_and_rate(clock, capsys):
    with Progress(start=3, total=5, batch_size=4) as progress:
        for _ in range(2):
            clock[0] += 0.5
            progress.update(0.125)
        progress.say("a line")
    printed = capsys.readouterr()
    assert "step 5/5" in printed.err
    assert "loss 0.1250, 8.0 images/s" in printed.err
    assert "a line" in printed.out
