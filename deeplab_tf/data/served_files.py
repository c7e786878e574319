"""Decoding a batch of image files for a server, which names the files that it cannot decode."""

import tensorflow as tf

from deeplab_tf.data.decode_in_graph import decode_in_graph, read_size_in_graph


def decode_files(image_bytes, max_pixels=None, first=0):
    """Decode a batch of image files of one size, in a graph.

    Args:
      image_bytes: strings (B,), the contents of JPEG or PNG files; see `decode_in_graph`.
      max_pixels: largest number of pixels of an image; larger ones are refused before they are
        decoded, which could take all memory. None: no limit.
      first: number of the first file in messages.

    Returns:
      (B, H, W, 3) uint8 RGB.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs, if the batch is empty, naming the files
        that cannot be decoded, or naming the first one that is too large or of another size.
    """
    image_bytes = check_files(image_bytes)
    if max_pixels is not None:
        with tf.control_dependencies([_not_too_large(image_bytes, max_pixels, first)]):
            image_bytes = tf.identity(image_bytes)
    indices, sizes, images = _each_file(image_bytes, _decode)
    with tf.control_dependencies([_all_decoded(indices, image_bytes, first)]):
        sizes = tf.identity(sizes)
    with tf.control_dependencies([_one_size(sizes, first)]):
        return tf.identity(images)


def check_files(image_bytes):
    """The files, after an assertion that there are some."""
    not_empty = tf.debugging.Assert(
        tf.size(image_bytes) > 0, ["image_bytes is empty; send at least one file"]
    )
    with tf.control_dependencies([not_empty]):
        return tf.identity(image_bytes)


def _decode(contents):
    image = decode_in_graph(contents)
    return tf.shape(image)[:2], image


def _each_file(image_bytes, read):
    """Index, size and pixels of every file that can be read; smaller images are padded.

    Args:
      image_bytes: strings (B,).
      read: function from the contents of one file to its size (2,) and pixels (H, W, 3).
    """
    # Only a tf.data pipeline can continue after an operation that fails. All files may fail, and an
    # empty batch is an error, so there is a first element that is removed again.
    first = tf.constant(-1, tf.int64), tf.constant([1, 1]), tf.zeros([1, 1, 3], tf.uint8)
    files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
    files = files.map(
        lambda index, contents: (index, *read(contents)), num_parallel_calls=tf.data.AUTOTUNE
    )
    files = tf.data.Dataset.from_tensors(first).concatenate(files.ignore_errors())
    count = tf.size(image_bytes, out_type=tf.int64) + 1
    batch = files.padded_batch(count, ([], [2], [None, None, 3])).get_single_element()
    return [part[1:] for part in batch]


def _not_too_large(image_bytes, max_pixels, first):
    """An assertion that no file says that its image is larger; damaged ones pass."""

    def read(contents):
        return read_size_in_graph(contents), tf.zeros([1, 1, 3], tf.uint8)

    indices, sizes, _ = _each_file(image_bytes, read)
    large = tf.where(tf.reduce_prod(tf.cast(sizes, tf.int64), axis=1) > max_pixels)[:, 0]
    # There is a last element even if no file is large, or none can be read.
    index = tf.concat([tf.gather(indices, large), [0]], 0)[0]
    size = tf.concat([tf.gather(sizes, large), [[0, 0]]], 0)[0]
    more = f", but at most {max_pixels} pixels are taken; reduce the image"
    message = tf.strings.join([_item(index, first), " has ", _pixels(size), more])
    return tf.debugging.Assert(tf.size(large) == 0, [message])


def _all_decoded(indices, image_bytes, first):
    """An assertion that no file is missing from the indices of those that were decoded."""
    expected = tf.range(tf.size(image_bytes, out_type=tf.int64))
    damaged = tf.sets.difference(expected[None], indices[None]).values
    names = tf.strings.reduce_join(_item(damaged, first), separator=", ")
    message = tf.strings.join(
        [names, ": cannot be decoded (damaged, cut off, or neither JPEG nor PNG); replace or omit"]
    )
    return tf.debugging.Assert(tf.size(damaged) == 0, [message])


def _one_size(sizes, first):
    """An assertion that all rows (height, width) of `sizes` are equal."""
    others = tf.where(tf.reduce_any(sizes != sizes[0], axis=1))[:, 0]
    other = tf.concat([others, [0]], 0)[0]
    message = tf.strings.join(
        [
            *[_item(other, first), " has ", _pixels(sizes[other])],
            *[" but ", _item(0, first), " has ", _pixels(sizes[0])],
            "; send images of different sizes in separate batches",
        ]
    )
    return tf.debugging.Assert(tf.size(others) == 0, [message])


def _item(index, first):
    number = tf.cast(index, tf.int64) + tf.cast(first, tf.int64)
    return tf.strings.join(["image_bytes[", tf.strings.as_string(number), "]"])


def _pixels(size):
    height, width = tf.unstack(tf.strings.as_string(size))
    return tf.strings.join([width, "x", height, " pixels"])
