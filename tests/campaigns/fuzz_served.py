"""Image files that are sent to an exported model, as the fuzzing campaign reads them."""

import functools

import numpy as np
import tensorflow as tf

from deeplab_tf.data.served_files import decode_files
from deeplab_tf.errors import InputError, one_line

MAX_PIXELS = 20_000  # of an image


@functools.cache
def decoder():
    """The graph with which an exported model decodes the files of a request."""
    return tf.function(
        lambda files: decode_files(files, MAX_PIXELS),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def read_served(given, target):
    """The images of all files of an input, which are one request."""
    files = [path.read_bytes() for path in sorted(given.iterdir())]
    try:
        images = decoder()(tf.constant(files, tf.string, [len(files)])).numpy()
    except tf.errors.InvalidArgumentError as error:
        # After the message, TensorFlow names the node, whose number differs between processes.
        raise InputError(f"{given}: {one_line(error).partition('[[')[0]}") from None
    assert images.dtype == np.uint8 and images.shape[0] == len(files), images.shape
    assert images.ndim == 4 and images.shape[3] == 3, images.shape
    assert images.shape[1] * images.shape[2] <= MAX_PIXELS, images.shape
    return images
