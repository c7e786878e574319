"""A training that takes seconds, with all kinds of state that a restart could lose."""

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.labels import VOID
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.losses import ScoreMapObjective, masked_cross_entropy
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.schedules import Poly
from deeplab_tf.training.settings import LoopSettings

SIZE = 17


def tiny(num_classes=2):
    """17x17 images to 3x3 scores, with batch normalization and dropout."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 1, strides=8, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="bn")(x)
    x = keras.layers.Dropout(0.3, name="drop")(x)
    x = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="fc8")(x)
    return keras.Model(inputs, x)


def batch_at(position):
    """Four images at a position of the stream; the class of a pixel is whether it is bright."""
    seed = tf.stack([position, 7])
    image = tf.random.stateless_uniform((4, SIZE, SIZE, 3), seed, 0, 255)
    label = tf.cast(tf.reduce_mean(image, -1) > 127, tf.uint8)
    label = tf.where(tf.range(SIZE) < 3, tf.constant(VOID, tf.uint8), label)
    name = tf.strings.join(["batch", tf.strings.as_string(position)])
    return {"image": image, "label": label, "name": tf.fill([4], name)}


def make_batches(start):
    return tf.data.Dataset.range(start, 1 << 40).map(batch_at)


def trainer(
    folder,
    steps=12,
    make_batches=make_batches,
    model=None,
    rate=0.1,
    objective=None,
    settings=None,
    **kwargs,
):
    """A model, new or given, and its `Trainer`; `settings` go into `LoopSettings`."""
    often = {"checkpoint_every": 4, "eval_every": 4, "log_every": 2, **(settings or {})}
    model = model or tiny()
    optimizer = LayerwiseSGD(Poly(rate, 12), l2=1e-3)
    loop = LoopSettings(folder, steps, batch_size=4, **often)
    objective = objective or ScoreMapObjective(8)
    return model, Trainer(model, optimizer, objective, make_batches, loop, **kwargs)


def validate(model):
    """A score, and one picture."""
    return validation_score(model), [np.zeros((4, 6, 3), np.uint8)]


def validation_score(model):
    batch = batch_at(tf.constant(10**6, tf.int64))
    scores = model(batch["image"], training=False)
    return -float(masked_cross_entropy(batch["label"][:, ::8, ::8], scores))


class Killed(Exception):
    pass


def batches_until(last, make_batches=make_batches):
    """The same stream, which raises `Killed` instead of the batch after step `last`."""

    def breaking(start):
        yield from make_batches(start).take(last - start)
        raise Killed

    return breaking
