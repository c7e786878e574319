"""Steps on two replicas, which need a process of their own; prints what they change."""

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from test_step import batch, flat, network, sgd  # noqa: E402

from deeplab_tf.training.objectives import ScoreMapObjective  # noqa: E402
from deeplab_tf.training.precision import LossScale  # noqa: E402
from deeplab_tf.training.step import TrainStep  # noqa: E402

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def change(images, dtype="float32", scaled=False, **kwargs):
    with strategy.scope():
        model, optimizer, scale = network(dtype), sgd(), LossScale() if scaled else None
        optimizer.build(model.trainable_variables)
        step = TrainStep(
            model, optimizer, ScoreMapObjective(8), strategy, loss_scale=scale, **kwargs
        )
    data = tf.data.Dataset.from_tensors((images, batch()[1])).unbatch().batch(4)
    before = flat(model)
    (distributed,) = strategy.experimental_distribute_dataset(data)
    _, _, finite, _ = step(*distributed)
    return flat(model) - before, bool(finite), scale


def text(values):
    return ",".join(map(repr, values.tolist()))


images = batch()[0]
print("free", text(change(images)[0]))
print("clipped", text(change(images, clip_norm=0.25)[0]))
# Finite in float16, but not the gradients, and those of the second replica alone.
large = images * np.array([1, 1, 1, 3e4], np.float32)[:, None, None, None]
changed, finite, scale = change(large, "mixed_float16", scaled=True, clip_norm=0.25)
print("overflow", not finite)
print("skipped", not changed.any())
print("scale", float(scale.value))
