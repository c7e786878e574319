"""Small networks for the synthetic scenes of color and depth, one for each --input."""

import keras

from deeplab_tf.data import add_depth, open_dataset, training_batches
from deeplab_tf.data.inputs import CHANNELS
from deeplab_tf.data.synthetic_depth import CLASSES
from deeplab_tf.evaluation import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.labels import VOID
from deeplab_tf.models import fuse_late

STRIDE = 8
SCORES = len(CLASSES)


def small_network(channels, outputs=SCORES):
    """Six convolutions, with a score for every eighth pixel, or the depth if `outputs` is 1."""
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for filters, stride, rate in ((16, 2, 1), (32, 2, 1), (48, 2, 1), (64, 1, 2), (64, 1, 4)):
        x = keras.layers.ZeroPadding2D(rate)(x)
        x = keras.layers.Conv2D(
            filters,
            3,
            strides=stride,
            dilation_rate=rate,
            activation="relu",
            kernel_initializer="he_normal",
        )(x)
    return keras.Model(images, keras.layers.Conv2D(outputs, 1)(x))


def build(name):
    """The network of one --input."""
    if name == "rgb_hha":
        return fuse_late(small_network(3), small_network(3))
    return small_network(CHANNELS[name])


def examples(name, data_dir, split):
    """The examples of a list as a network of one --input sees them."""
    found, _ = open_dataset("synthetic_depth", data_dir, split)
    return add_depth(found, name, "synthetic_depth", data_dir)


def train(name, data_dir, steps, seed=0):
    """Train the network of one --input."""
    keras.utils.set_random_seed(seed)
    batches = training_batches(
        examples(name, data_dir, "train"),
        num_classes=len(CLASSES),
        batch_size=8,
        crop_size=97,
        scale_range=(0.8, 1.2),
        channels=CHANNELS[name],
    )
    model = build(name)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(3e-3, steps, 1e-5)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID),
    )
    pairs = batches.map(lambda batch: (batch["image"], batch["label"][:, ::STRIDE, ::STRIDE]))
    model.fit(pairs, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def score(model, name, data_dir):
    """The `ConfusionMatrix` of the validation images."""
    matrix = ConfusionMatrix(len(CLASSES))
    for found in predict_examples(model, examples(name, data_dir, "val")):
        matrix.add(found.truth, found.labels[-1])
    return matrix
