import pytest

from deeplab_tf.training.checkpoints import TrainingState
from deeplab_tf.training.results import duration, result_text
from deeplab_tf.training.settings import LoopSettings

SETTINGS = LoopSettings("m", 9, 2, score_name="mean IoU on 3 of the 5 images of val")


def test_everything_is_said():
    state = TrainingState(9, best_score=0.5, best_step=6, last_loss=0.25, seconds=200.4)
    assert result_text(state, SETTINGS, 7.25) == (
        "9 steps done in 3 min 20 s, 7.2 images/s, last loss 0.2500\n"
        "best mean IoU on 3 of the 5 images of val: 0.5000 at step 6"
    )


def test_what_is_unknown_is_left_out():
    assert result_text(TrainingState(9), SETTINGS) == "9 steps done"
    old = TrainingState(9, best_score=0.5)  # a checkpoint of an older version
    assert result_text(old, SETTINGS).endswith("of val: 0.5000")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"), (90000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
