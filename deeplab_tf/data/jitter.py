"""Random changes of colour as one affine map of RGB."""

import numpy as np
import tensorflow as tf

# Brightness, and the two axes of colour of the NTSC standard (YIQ): rows that take RGB to them.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_QUARTER_TURN = np.linalg.inv(_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _TO_YIQ
_TO_GREY = np.tile(_TO_YIQ[0], (3, 1))

# The level that contrast spreads colours about: the brightness of the ImageNet images' mean.
MIDDLE = 117.0


def color_change(drawn, strength):
    """Brightness, contrast, saturation and hue, changed at once.

    With factors b, c and s, drawn uniformly from 1 - strength to 1 + strength, and an angle drawn
    from -90 to 90 degrees times strength: a pixel's colour, less its grey, is multiplied by s and
    turned about the grey axis by the angle; then its distance from `MIDDLE` is multiplied by c,
    and all by b.

    Args:
      drawn: (..., 4) float32 tensor of numbers 0..1, for brightness, contrast, saturation, hue.
      strength: 0..1.

    Returns:
      (..., 3, 4) float32 tensor: a matrix to multiply RGB with, and in the last column what to
      add.
    """
    swing = strength * (2 * drawn - 1)
    brightness, contrast, saturation = tf.unstack(1 + swing[..., :3, None, None], axis=-3)
    angle = swing[..., 3, None, None] * np.float32(np.pi / 2)
    turned = tf.cos(angle) * (np.eye(3, dtype=np.float32) - _TO_GREY.astype(np.float32))
    turned += tf.sin(angle) * _QUARTER_TURN.astype(np.float32)
    matrix = brightness * contrast * (_TO_GREY.astype(np.float32) + saturation * turned)
    added = brightness * (1 - contrast) * MIDDLE
    return tf.concat([matrix, tf.broadcast_to(added, tf.shape(matrix[..., :1]))], axis=-1)
