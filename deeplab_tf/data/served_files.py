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
        indices, sizes = _each_file(image_bytes, _size_alone)
        with tf.control_dependencies([_not_too_large(indices, sizes, max_pixels, first)]):
            image_bytes = tf.identity(image_bytes)
    indices, sizes, pixels = _each_file(image_bytes, _decode, tf.zeros([0], tf.uint8))
    with tf.control_dependencies([_all_decoded(indices, image_bytes, first)]):
        sizes = tf.identity(sizes)
    if max_pixels is not None:  # again, for files whose headers say something else
        with tf.control_dependencies([_not_too_large(indices, sizes, max_pixels, first)]):
            sizes = tf.identity(sizes)
    with tf.control_dependencies([_one_size(sizes, first)]):
        return tf.reshape(pixels, tf.concat([tf.shape(sizes)[:1], sizes[0], [3]], 0))


def check_files(image_bytes):
    """The files, after an assertion that there are some."""
    not_empty = tf.debugging.Assert(
        tf.size(image_bytes) > 0, ["image_bytes is empty; send at least one file"]
    )
    with tf.control_dependencies([not_empty]):
        return tf.identity(image_bytes)


def _size_alone(contents):
    return (tf.ensure_shape(read_size_in_graph(contents), [2]),)


def _decode(contents):
    image = decode_in_graph(contents)
    return tf.ensure_shape(tf.shape(image)[:2], [2]), tf.reshape(image, [-1])


def _each_file(image_bytes, read, *nothing):
    """What is read of every file that can be read.

    Args:
      image_bytes: strings (B,).
      read: function from the contents of one file to a tuple: its size (2,), and perhaps more.
      nothing: what `read` gives more of no file, vectors without elements.

    Returns:
      Index (F,) int64 and size (F, 2) int32 of each file, and what there is more, of all files one
      after another. As a batch, images would be padded to the largest height and width, which files
      of different sizes could make as large as they like.
    """
    # Only a tf.data pipeline can continue after an operation that fails. All files may fail, and an
    # empty batch is an error, so there is a first element that is removed again.
    first = tf.constant(-1, tf.int64), tf.constant([1, 1]), *nothing
    files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
    files = files.map(
        lambda index, contents: (index, *read(contents)), num_parallel_calls=tf.data.AUTOTUNE
    )
    files = tf.data.Dataset.from_tensors(first).concatenate(files.ignore_errors())
    count = tf.size(image_bytes, out_type=tf.int64) + 1
    indices, sizes, *more = files.ragged_batch(count).get_single_element()
    return indices[1:], sizes[1:], *(each.flat_values for each in more)


def _not_too_large(indices, sizes, max_pixels, first):
    """An assertion that no image is larger.

    Args:
      indices, sizes: as of `_each_file`; of damaged files there is none.
      max_pixels, first: see `decode_files`.
    """
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
