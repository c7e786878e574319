import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.distribute import agreement
from deeplab_tf.distribute.agreement import check_agreement, find_difference
from deeplab_tf.errors import InputError


@pytest.mark.parametrize(
    ("others", "difference"),
    [
        ([], None),
        ([{"a": "1", "b": "2"}] * 2, None),
        ([{"a": "1", "b": "2"}, {"b": "2", "a": "0"}], "worker 2 differs from the chief in a (0, "),
        ([{"a": "1"}], "worker 1 differs from the chief in b (not given, the chief 2)"),
        ([{"a": "1", "b": "2", "c": "3"}], "in c (3, the chief not given): start all workers with"),
    ],
)
def test_the_first_difference_is_named(others, difference):
    found = find_difference({"a": "1", "b": "2"}, others)
    assert found is None if difference is None else difference in found


def test_one_worker_agrees_with_itself():
    check_agreement(tf.distribute.get_strategy(), pytest.fail)  # has nothing to compare


@pytest.fixture
def workers(monkeypatch):
    """A function that calls `check_agreement` with each of several facts, as workers would."""

    def run(facts):
        here, rows = threading.local(), [None] * len(facts)
        barrier = threading.Barrier(len(facts), timeout=60)

        def add(strategy, array):
            rows[here.index] = array
            barrier.wait()
            total = np.sum(rows, axis=0)
            barrier.wait()  # all have added before the next rows come
            return total

        def check(index):
            here.index = index
            try:
                check_agreement("all", lambda: facts[index])
            except InputError as error:
                return str(error)
            return None

        monkeypatch.setattr(agreement, "worker", lambda strategy: (here.index, len(facts)))
        monkeypatch.setattr(agreement, "sum_over_workers", add)
        monkeypatch.setattr(
            agreement, "wait_for_workers", lambda strategy: add(strategy, np.zeros(1))
        )
        with ThreadPoolExecutor(len(facts)) as pool:
            return list(pool.map(check, range(len(facts))))

    return run


def test_workers_with_the_same_facts_go_on(workers):
    assert workers([{"--seed": "1", "the classes": "Bäume"}] * 3) == [None] * 3


def test_all_workers_name_the_one_that_differs(workers):
    facts = {"--seed": "1", "the list train": "367 images"}
    found = workers([facts, facts, {**facts, "the list train": "3 images, and more text"}])
    line = (
        "worker 2 differs from the chief in the list train (3 images, and more text, the chief "
        "367 images): start all workers with the same flags and data"
    )
    assert found == [line] * 3
