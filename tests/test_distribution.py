import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.distribution import (
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
    with pytest.raises(InputError, match="'mirror'; give one of none, mirrored, multi_worker"):
        make_strategy("mirror")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG is not set"):
        make_strategy("multi_worker")
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="TF_CONFIG is set, which strategy mirrored does not"):
        make_strategy("mirrored")


def test_only_errors_of_a_lost_worker_are_said_to_be_one():
    with pytest.raises(InputError, match="another worker has ended") as error, \
            lost_worker_is_error():  # fmt: skip
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: ...")
    assert "\n" not in str(error.value)
    with pytest.raises(tf.errors.InvalidArgumentError), lost_worker_is_error():
        raise tf.errors.InvalidArgumentError(None, None, "assertion failed")
