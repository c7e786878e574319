"""Networks of few layers, for tests of the code around a network."""

import keras
import numpy as np

from deeplab_tf.models.fast.prepared import PreparedWeights


def random_model(num_classes=4, output_stride=8, channels=3):
    """One convolution, centered on the cells and as large as one; always the same weights."""
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.ZeroPadding2D(output_stride // 2)(x)
    size = 2 * (output_stride // 2) + 1
    scores = keras.layers.Conv2D(
        num_classes,
        size,
        strides=output_stride,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.3, seed=1),
    )
    return keras.Model(images, scores(x))


def color_model(output_stride=8, factor=1.0):
    """Scores that are the color of the cell's central pixel times a factor."""
    images = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(1, strides=output_stride)(images)
    return keras.Model(images, keras.layers.Rescaling(factor)(x))


def preparations(monkeypatch):
    """A list that grows with every call of `PreparedWeights.compute`."""
    calls, compute = [], PreparedWeights.compute

    def counted(self):
        calls.append(self)
        return compute(self)

    monkeypatch.setattr(PreparedWeights, "compute", counted)
    return calls


def conv_network(*layers, size=9, channels=2):
    """A small network from a list of layers."""
    images = x = keras.Input((size, size, channels))
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def blocks(height, width, cell=16, seed=0):
    """An image of colored squares with a little noise, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(20, 236, (-(-height // cell), -(-width // cell), 3))
    image = colors.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    return (image + rng.integers(-8, 9, image.shape)).astype(np.uint8)
