"""Builds networks as the functions of keras.applications do, with their arguments."""

import keras
from keras import layers

from deeplab_tf.errors import InputError


def build_network(
    name,
    build_map,
    remedy,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=(None, None, 3),
    classes=1000,
    dropout=0.0,
    classifier_initializer="glorot_uniform",
):
    """Build a network whose ImageNet weights cannot be downloaded.

    Args:
      name: of the network.
      build_map: function from the input to the last map.
      remedy: what to do about ImageNet weights, for the message that refuses them.
      include_top: whether to end in the probabilities of the classes `(B, classes)`, instead of
        the last map.
      weights: None (random), or the path of a weights file of Keras.
      input_tensor: symbolic images, or a tensor made from them, such as preprocessed ones, to
        build on, in place of new images of `input_shape`.
      input_shape: `(H, W, 3)`, H and W None for sizes that vary; RGB, values 0..255.
      classes: number of classes.
      dropout: rate of the dropout before the classifier; 0: none.
      classifier_initializer: of the classifier's kernel.

    Returns:
      A functional keras.Model.

    Raises:
      InputError: for weights="imagenet", which are not offered in Keras's format.
    """
    if weights == "imagenet":
        raise InputError(
            f"the ImageNet weights of {name} cannot be downloaded in Keras's format; {remedy}"
        )
    x = keras.Input(input_shape) if input_tensor is None else input_tensor
    (images,) = keras.utils.get_source_inputs(x)
    x = build_map(x)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name="top_dropout")(x)
        x = layers.Dense(
            classes, "softmax", kernel_initializer=classifier_initializer, name="predictions"
        )(x)
    network = keras.Model(images, x, name=name)
    if weights is not None:
        network.load_weights(weights)
    return network
