"""The endless stream of training batches, and errors that name the file at fault."""

import re

import tensorflow as tf

from deeplab_tf.data.augment import random_crop, random_mirror, random_scale
from deeplab_tf.data.labels import VOID
from deeplab_tf.data.png import decode_label
from deeplab_tf.data.voc import decode_image, load_pair
from deeplab_tf.errors import InputError

_UNUSABLE = "unusable example: "


def training_batches(
    examples,
    *,
    num_classes,
    batch_size,
    crop_size,
    scale_range=(0.5, 1.5),
    scale_step=0.0,
    mirror=True,
    seed=0,
    start=0,
    shard=(0, 1),
    colors=None,
):
    """Endless batches of randomly scaled, cropped and mirrored examples.

    The order is shuffled anew in each pass over the examples. Position p of the stream depends
    on the examples, `seed` and p alone: the same seed gives the same batches, and `start=k`
    gives what follows the first k batches, without reading them.

    Args:
      examples: list of `Example`.
      num_classes: label values are below this, or 255.
      batch_size: images in a batch, of all workers together.
      crop_size: height and width of the crops in pixels.
      scale_range: smallest and largest scale factor.
      scale_step: see `random_scale`; 0 draws any factor in the range.
      mirror: whether half of the examples are mirrored.
      seed: of the order and of all augmentation.
      start: number of batches to skip.
      shard: (index, count): this worker's number and the number of workers, each of which gets
        its own batch_size / count rows of every batch.
      colors: the classes' colours, for RGB labels; see `decode_label`.

    Returns:
      A `tf.data.Dataset` of dicts `{"image": float32 (B, crop, crop, 3), "label": uint8
      (B, crop, crop), "name": string (B,)}` with B = batch_size / count. Taking a batch raises
      `tf.errors.OpError` where an example cannot be used: see `input_error_from`.

    Raises:
      InputError: where there are no examples, or a number is out of its range.
    """
    rows = _rows_of_worker(examples, batch_size, start, shard)
    load = _loader(examples, num_classes, seed, colors)
    changes = [random_scale(*scale_range, scale_step), random_crop(crop_size)]
    changes += [random_mirror()] if mirror else []

    def load_and_change(row):
        example = load(_position(row, rows, batch_size))
        for change in changes:
            example = change(example)
        return {key: example[key] for key in ("image", "label", "name")}

    return (
        tf.data.Dataset.range(start * len(rows), tf.int64.max)
        .map(load_and_change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(len(rows), drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def check_examples(examples, num_classes, colors=None, sample=16):
    """Read a few examples, evenly spaced, so that a wrong data set is found out at once.

    Args:
      examples: list of `Example`.
      num_classes: number of classes.
      colors: the classes' colours, for RGB labels; see `decode_label`.
      sample: how many examples to read; 0 reads all.

    Raises:
      InputError: naming the file that cannot be used and saying why.
    """
    count = min(sample or len(examples), len(examples))
    for index in range(count):
        load_pair(examples[index * len(examples) // count], num_classes, colors)


def input_error_from(error):
    """The `InputError` behind an error of a data set made by `training_batches`.

    Args:
      error: what taking a batch raised.

    Returns:
      An `InputError` naming the file where an example was at fault; otherwise `error` itself.

    Example:
      >>> try:
      ...     batch = next(batches)
      ... except tf.errors.OpError as error:
      ...     raise input_error_from(error) from None
    """
    found = re.search(_UNUSABLE + r"(.*?)\](?:\s|$)", str(error))
    if not found:
        return error
    # TensorFlow writes the message with C's escapes, in UTF-8.
    escaped = found.group(1).encode("utf-8")
    return InputError(escaped.decode("unicode_escape").encode("latin-1").decode("utf-8"))


def _rows_of_worker(examples, batch_size, start, shard):
    index, count = shard
    if not examples:
        raise InputError("no examples to train on; give a split that lists some")
    if batch_size < 1 or start < 0:
        raise InputError(f"batch_size {batch_size}, start {start}; give at least 1 and 0")
    if not 0 <= index < count:
        raise InputError(f"shard {shard}; give (index, count) with 0 <= index < count")
    if batch_size % count:
        raise InputError(
            f"batch_size {batch_size} cannot be shared by {count} workers; give a multiple"
        )
    rows = batch_size // count
    return range(index * rows, (index + 1) * rows)


def _position(row, rows, batch_size):
    # Place in the stream of all workers of this worker's row.
    return row // len(rows) * batch_size + rows.start + row % len(rows)


def _loader(examples, num_classes, seed, colors):
    names, images, labels = (list(column) for column in zip(*examples, strict=True))
    count = tf.constant(len(examples), tf.int64)
    first_seed = tf.constant(seed, tf.int64)

    def load(position):
        order_seed = tf.stack([first_seed, position // count])
        index = tf.random.experimental.index_shuffle(position % count, order_seed, count - 1)
        image, label = _load_pair(
            tf.gather(images, index), tf.gather(labels, index), num_classes, colors
        )
        return {
            "image": tf.cast(image, tf.float32),
            "label": label,
            "name": tf.gather(names, index),
            "seed": _augmentation_seed(first_seed, position),
        }

    return load


def _augmentation_seed(seed, position):
    return tf.random.stateless_uniform(
        (2,), tf.stack([seed, position]), minval=None, maxval=None, dtype=tf.int32
    )


def _load_pair(image_path, label_path, num_classes, colors):
    # `load_pair` of voc.py once more, in TensorFlow ops.
    image = _attempt(decode_image, image_path, tf.zeros((0, 0, 3), tf.uint8))
    label = _attempt(
        lambda contents: decode_label(contents, colors), label_path, tf.zeros((0, 0), tf.uint8)
    )
    wrong = (label >= num_classes) & (label != VOID)
    same_size = tf.reduce_all(tf.shape(image)[:2] == tf.shape(label))
    checks = [
        (tf.size(image) > 0, image_path, "cannot be read as JPEG or PNG image; replace it"),
        (tf.size(label) > 0, label_path, "cannot be read as PNG of class indices; replace it"),
        (same_size, label_path, "size differs from the image's; make them equal"),
        (
            ~tf.reduce_any(wrong),
            label_path,
            f"label value of no class, which are 0..{num_classes - 1} and {VOID}; mend it",
        ),
    ]
    for usable, path, problem in checks:
        message = tf.strings.join([_UNUSABLE, path, ": ", problem])
        with tf.control_dependencies([tf.debugging.Assert(usable, [message])]):
            image, label = tf.identity(image), tf.identity(label)
    return image, label


def _attempt(decode, path, otherwise):
    # A decoder's own error does not say which file it was. Inside a data set of one element
    # errors can be ignored, and `otherwise` then comes first.
    one = tf.data.Dataset.from_tensors(path).map(lambda path: decode(tf.io.read_file(path)))
    other = tf.data.Dataset.from_tensors(otherwise)
    return one.ignore_errors().concatenate(other).take(1).get_single_element()
