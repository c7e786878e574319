"""Networks and batches for tests of single training steps."""

import keras
import numpy as np
import tensorflow as tf
from seeds import seed

from deeplab_tf.labels import VOID
from deeplab_tf.training.freezing import freeze_bn
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep


def network(dtype="float32"):
    """9x9 images to 2x2 scores; always the same weights."""
    seed(3)
    image = keras.Input((9, 9, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 3, 8, "same", activation="relu", dtype=dtype)(image)
    return keras.Model(image, keras.layers.Conv2D(2, 1, dtype="float32")(x))


def frozen_bn_network():
    """The same with frozen batch normalization with statistics of other data."""
    seed(3)
    image = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(4, 3, 8, "same")(image)
    bn = keras.layers.BatchNormalization()
    x = keras.layers.Activation("relu")(bn(x))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    bn.moving_mean.assign([0.5, -0.5, 0.0, 1.0])
    bn.moving_variance.assign([0.25, 0.5, 1.0, 2.0])
    freeze_bn(model)
    return model


def batch(count=4):
    rng = np.random.default_rng(5)
    image = rng.uniform(0, 2, (count, 9, 9, 3)).astype(np.float32)
    return tf.constant(image), tf.constant(rng.integers(0, 2, (count, 9, 9)), tf.uint8)


def uneven_batch():
    """Eight images of which 0 to 4 score cells are void: a mean of means is not the mean."""
    image, label = batch(8)
    cells = tf.reshape(tf.range(9)[:, None] // 8 * 2 + tf.range(9) // 8, (1, 9, 9))
    void = cells < tf.reshape(tf.range(8) % 5, (8, 1, 1))
    return image, tf.where(void, tf.constant(VOID, tf.uint8), label)


def sgd():
    return LayerwiseSGD(0.5, momentum=0.0, l2=0.0, rules=())


def change(
    steps=1, dtype="float32", optimizer=None, objective=None, model=None, data=None, **kwargs
):
    """What some steps add to all weights, one vector, and what the last step returned."""
    strategy, model = tf.distribute.get_strategy(), model or network(dtype)
    optimizer = optimizer or sgd()
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, objective or ScoreMapObjective(8), strategy, **kwargs)
    before = flat(model)
    for _ in range(steps):
        answers = step(*(data or batch()))
    return flat(model) - before, [value.numpy() for value in answers]


def flat(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])
