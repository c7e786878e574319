"""The size of an FCN-32s, computed from its graph."""

import keras

from deeplab_tf.models.receptive_field import receptive_field


def arithmetic(model):
    """What the FCN paper compares of an FCN-32s, up to its scores.

    Args:
      model: what `build_fcn` made with stride 32.

    Returns:
      (convolutions on the longest path, parameters as text, receptive field in pixels, stride).
    """
    name = next(layer.name for layer in model.layers if layer.name.startswith("score_"))
    head = keras.Model(model.input, model.get_layer(name).output)
    inside = next((layer for layer in head.layers if isinstance(layer, keras.Model)), None)
    if inside is None:
        field = receptive_field(head)
    else:  # the scores are one convolution after the first map of the network inside
        field = receptive_field(inside, inside.outputs[0])
        field = field._replace(depth=field.depth + 1)
    return field.depth, f"{head.count_params():,}", field.size, field.stride
