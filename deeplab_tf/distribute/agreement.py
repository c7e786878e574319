"""Do all workers have the same flags and the same data? Otherwise they would train on a mixture."""

import contextlib
import json

import numpy as np
import tensorflow as tf

from deeplab_tf.distribute.strategy import sum_over_workers, wait_for_workers, worker
from deeplab_tf.errors import InputError


def check_agreement(strategy, find_facts):
    """Raise `InputError` on every worker unless all workers give the same facts.

    Every worker must call it.

    Args:
      strategy: what `make_strategy` returned.
      find_facts: function that returns a dict from what is compared, such as "--batch_size", to
        its value, both str; it is not called if there is one worker alone.

    Raises:
      InputError: naming the first worker and fact that differ from the chief's.
      tf.errors.OpError: a worker is lost; see `lost_worker_is_error`.

    Example:
      >>> check_agreement(strategy, lambda: {"--batch_size": "8"})
    """
    index, count = worker(strategy)
    if count == 1:
        return
    own = np.frombuffer(json.dumps(find_facts()).encode(), np.uint8)
    lengths = np.zeros(count, np.int32)
    lengths[index] = len(own)
    lengths = sum_over_workers(strategy, lengths)
    texts = np.zeros((count, lengths.max()), np.int32)
    texts[index, : len(own)] = own
    texts = sum_over_workers(strategy, texts).astype(np.uint8)
    chief, *others = (
        json.loads(text[:length].tobytes()) for text, length in zip(texts, lengths, strict=True)
    )
    if difference := find_difference(chief, others):
        # A worker that ended at once might take the answer of the others with it.
        with contextlib.suppress(tf.errors.OpError):
            wait_for_workers(strategy)
        raise InputError(difference)


def find_difference(chief, others):
    """The first fact in which a worker differs from the chief, as a sentence; None: there is none.

    Args:
      chief: dict of the chief's facts.
      others: list of such dicts, of workers 1, 2, ...
    """
    for index, other in enumerate(others, 1):
        for name in {**chief, **other}:
            theirs, ours = (facts.get(name, "not given") for facts in (other, chief))
            if theirs != ours:
                return (
                    f"worker {index} differs from the chief in {name} ({theirs}, the chief {ours}):"
                    " start all workers with the same flags and data"
                )
    return None
