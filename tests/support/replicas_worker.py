"""Runs training steps on two replicas, in a process of its own, and prints the changes."""

import functools

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tiny_step import batch, flat, frozen_bn_network, network, sgd, uneven_batch  # noqa: E402

from deeplab_tf.training.loss_scale import LossScale  # noqa: E402
from deeplab_tf.training.losses import ScoreMapObjective  # noqa: E402
from deeplab_tf.training.step import TrainStep  # noqa: E402

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def change(build, data, steps=1, scaled=False, objective=None, **kwargs):
    """What some steps add to all weights, what the last step returned, and the loss scale."""
    with strategy.scope():
        model, optimizer, scale = build(), sgd(), LossScale() if scaled else None
        optimizer.build(model.trainable_variables)
        objective = objective or ScoreMapObjective(8)
        step = TrainStep(model, optimizer, objective, strategy, loss_scale=scale, **kwargs)
    before = flat(model)
    whole = tf.data.Dataset.from_tensors(data).unbatch().batch(len(data[0])).repeat(steps)
    for distributed in strategy.experimental_distribute_dataset(whole):
        answers = step(*distributed)
    return flat(model) - before, answers, scale


def text(values):
    return ",".join(map(repr, values.tolist()))


print("free", text(change(network, batch())[0]))
print("clipped", text(change(network, batch(), clip_norm=0.25)[0]))
# Two images a replica and part.
changed, (loss, *_), _ = change(frozen_bn_network, uneven_batch(), steps=3, accumulate=2)
print("parts", text(changed))
print("loss", float(loss))
weighted = ScoreMapObjective(8, (0.25, 3.0))
changed, (loss, *_), _ = change(network, uneven_batch(), objective=weighted)
print("weighted", text(changed))
print("weighted_loss", float(loss))
# Finite in float16, but not the gradients, and those of the second replica alone.
images, labels = batch()
large = images * np.array([1, 1, 1, 3e4], np.float32)[:, None, None, None]
half = functools.partial(network, "mixed_float16")
changed, (_, _, finite, _), scale = change(half, (large, labels), scaled=True, clip_norm=0.25)
print("overflow", not finite)
print("skipped", not changed.any())
print("scale", float(scale.value))
