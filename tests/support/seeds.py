"""Repeatable random numbers, without what TensorFlow's own seed costs."""

import random

import numpy as np


def seed(number):
    """Seed Python's and NumPy's generators; Keras draws the seeds of its layers from the first.

    `keras.utils.set_random_seed` also seeds `tf.random`, for which TensorFlow forgets how it has
    optimized its graphs: the next call of every `tf.function` in the process would do it again.
    """
    random.seed(number)
    np.random.seed(number)
