import json

import numpy as np
import pytest
import tensorflow as tf
from worker_processes import ended, running

from deeplab_tf.distribute.strategy import (
    is_chief,
    lost_worker_is_error,
    make_strategy,
    sum_over_workers,
    wait_for_workers,
    worker,
)
from deeplab_tf.errors import InputError


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_one_process_is_the_chief_and_all_there_is(monkeypatch, name):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    strategy = make_strategy(name)
    assert strategy.num_replicas_in_sync == 1
    assert worker(strategy) == (0, 1)
    assert is_chief(strategy)
    np.testing.assert_array_equal(sum_over_workers(strategy, [[1, 2]]), [[1, 2]])
    wait_for_workers(strategy)


def test_another_strategy_or_no_tf_config_is_one_line(monkeypatch):
    with pytest.raises(
        InputError, match="unknown strategy 'mirror'; available: none, mirrored, multi_worker"
    ):
        make_strategy("mirror")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG is not set"):
        make_strategy("multi_worker")
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="TF_CONFIG is set, but strategy mirrored uses"):
        make_strategy("mirrored")


HEARS = """
import os, signal
from deeplab_tf.distribute.strategy import make_strategy

heard = []
signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
make_strategy("multi_worker")
os.kill(os.getpid(), signal.SIGTERM)
assert heard == [signal.SIGTERM]
"""


@pytest.mark.slow
def test_a_worker_hears_of_sigterm_as_any_process():
    with running(["-c", HEARS], count=1) as (process,):
        result = ended(process)
    assert result.status == 0, result.err


ABORTED = "Collective ops is aborted by: ..."


class Pair(tf.distribute.MultiWorkerMirroredStrategy):
    """Is one of two workers as far as TF_CONFIG says so; nothing is connected."""

    def __init__(self):
        pass


@pytest.fixture
def pair(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    return Pair()


@pytest.mark.parametrize("kind", [tf.errors.UnavailableError, tf.errors.FailedPreconditionError])
def test_a_lost_worker_is_one_line_where_there_are_others(pair, kind):
    assert worker(pair) == (1, 2) and not is_chief(pair)
    ours = pytest.raises(InputError, match="another worker has ended")
    with ours as error, lost_worker_is_error(pair):
        raise kind(None, None, ABORTED)
    assert "\n" not in str(error.value)
    with pytest.raises(kind), lost_worker_is_error(make_strategy("none")):
        raise kind(None, None, ABORTED)


def test_other_errors_are_left_as_they_are(pair):
    for kind in (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError):
        with pytest.raises(kind), lost_worker_is_error(pair):
            raise kind(None, None, "assertion failed")
