"""Decoding a batch of image files for a server, which names the files that it cannot decode."""

import tensorflow as tf

from deeplab_tf.data.decode_in_graph import decode_in_graph


def decode_files(image_bytes):
    """Decode a batch of image files of one size, in a graph.

    Args:
      image_bytes: strings (B,), the contents of JPEG or PNG files; see `decode_in_graph`.

    Returns:
      (B, H, W, 3) uint8 RGB.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs, if the batch is empty, naming the files
        that cannot be decoded, or naming the first one of another size.
    """
    not_empty = tf.debugging.Assert(
        tf.size(image_bytes) > 0, ["image_bytes is empty; send at least one file"]
    )
    with tf.control_dependencies([not_empty]):
        image_bytes = tf.identity(image_bytes)
    indices, sizes, images = _decoded(image_bytes)
    with tf.control_dependencies([_all_decoded(indices, image_bytes)]):
        sizes = tf.identity(sizes)
    with tf.control_dependencies([_one_size(sizes)]):
        return tf.identity(images)


def _decoded(image_bytes):
    """Index, size and pixels of every file that can be decoded; smaller images are padded."""

    def decode(index, contents):
        image = decode_in_graph(contents)
        return index, tf.shape(image)[:2], image

    # Only a tf.data pipeline can continue after an operation that fails. All files may fail, and an
    # empty batch is an error, so there is a first element that is removed again.
    first = tf.constant(-1, tf.int64), tf.constant([1, 1]), tf.zeros([1, 1, 3], tf.uint8)
    files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
    files = files.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    files = tf.data.Dataset.from_tensors(first).concatenate(files)
    count = tf.size(image_bytes, out_type=tf.int64) + 1
    batch = files.padded_batch(count, ([], [2], [None, None, 3])).get_single_element()
    return [part[1:] for part in batch]


def _all_decoded(indices, image_bytes):
    """An assertion that no file is missing from the indices of those that were decoded."""
    expected = tf.range(tf.size(image_bytes, out_type=tf.int64))
    damaged = tf.sets.difference(expected[None], indices[None]).values
    names = tf.strings.reduce_join(_item(damaged), separator=", ")
    message = tf.strings.join(
        [names, ": cannot be decoded (damaged, cut off, or neither JPEG nor PNG); replace or omit"]
    )
    return tf.debugging.Assert(tf.size(damaged) == 0, [message])


def _one_size(sizes):
    """An assertion that all rows (height, width) of `sizes` are equal."""
    others = tf.where(tf.reduce_any(sizes != sizes[0], axis=1))[:, 0]
    other = tf.concat([others, [0]], 0)[0]
    message = tf.strings.join(
        [
            *[_item(other), " has ", _pixels(sizes[other])],
            *[" but ", _item(tf.constant(0)), " has ", _pixels(sizes[0])],
            "; send images of different sizes in separate batches",
        ]
    )
    return tf.debugging.Assert(tf.size(others) == 0, [message])


def _item(index):
    return tf.strings.join(["image_bytes[", tf.strings.as_string(index), "]"])


def _pixels(size):
    height, width = tf.unstack(tf.strings.as_string(size))
    return tf.strings.join([width, "x", height, " pixels"])
