"""The endless stream of training batches, and errors that name the file at fault."""

import itertools
import re

import numpy as np
import tensorflow as tf

from crf.threads import available_threads
from deeplab_tf.data import augment
from deeplab_tf.data.buffers import Buffers
from deeplab_tf.data.crops import Change, Cropper
from deeplab_tf.data.prefetch import computed_ahead
from deeplab_tf.data.tiles import tile_grid
from deeplab_tf.data.voc import load_pair
from deeplab_tf.errors import InputError

# Threads that make batches; more share one interpreter to little avail.
MOST_WORKERS = 8


def training_batches(
    examples,
    *,
    num_classes,
    batch_size,
    crop_size,
    scale_range=(0.5, 1.5),
    scale_step=0.0,
    mirror=True,
    jitter=0.0,
    tile_size=None,
    tile_overlap=0,
    seed=0,
    start=0,
    shard=(0, 1),
    colors=None,
):
    """Endless batches of randomly scaled, cropped and mirrored examples.

    They are what `random_scale`, `random_jitter`, `random_crop` and `random_mirror` make of an
    example one after the other, except for rounding, but made at once and without what the crop
    leaves out: of a JPEG of which it needs little, only the part around it is decoded.

    The order is shuffled anew in each pass over the examples. Position p of the stream depends
    on the examples, `seed` and p alone: the same seed gives the same batches, and `start=k`
    gives what follows the first k batches, without reading them.

    Args:
      examples: list of `Example` or `RecordExample`.
      num_classes: label values are below this, or 255.
      batch_size: images in a batch, of all workers together.
      crop_size: height and width of the crops in pixels.
      scale_range: smallest and largest scale factor.
      scale_step: see `random_scale`; 0 draws any factor in the range.
      mirror: whether half of the examples are mirrored.
      jitter: strength of the changes of colour, 0 (none) to 1; see `random_jitter`.
      tile_size: (height, width) in pixels, where images are too large to be seen whole: every
        tile of every image is then an example of its own, which is scaled and cropped. The size
        of the first image decides how many tiles an image has; those of another size have them
        closer together or farther apart. None: whole images.
      tile_overlap: pixels that neighbouring tiles of the first image share at least.
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
      InputError: where there are no examples, a number is out of its range, or tiles are wanted
        and the first example cannot be read.
    """
    rows = _rows_of_worker(examples, batch_size, start, shard)
    augment.check_scale(*scale_range, scale_step)
    augment.check_crop_size(crop_size)
    augment.check_jitter(jitter)
    if tile_overlap and not tile_size:
        raise InputError(f"tile_overlap {tile_overlap} without tile_size; give both or neither")
    grid = tile_size and _grid(examples[0], num_classes, colors, tile_size, tile_overlap)
    tiles = grid.count if grid else 1
    changes_at = _changes(len(examples) * tiles, seed, scale_range, scale_step, mirror, jitter)
    cropper = Cropper(num_classes, colors, grid)
    image_buffers = Buffers((len(rows), crop_size, crop_size, 3), np.float32)
    label_buffers = Buffers((len(rows), crop_size, crop_size), np.uint8)

    def make(step):
        positions = step * batch_size + np.arange(rows.start, rows.stop, dtype=np.int64)
        with tf.device("CPU"):
            numbers, *changes = (part.numpy() for part in changes_at(tf.constant(positions)))
        chosen = [examples[number // tiles] for number in numbers]
        images, labels = image_buffers.take(), label_buffers.take()
        changes = zip(*changes, strict=True)
        for row in zip(chosen, numbers % tiles, changes, images, labels, strict=True):
            example, tile, change, *out = row
            cropper.write(example, tile, Change(*change), *out)
        names = np.array([example.name.encode() for example in chosen], object)
        return {"image": images, "label": labels, "name": names}

    signature = {
        "image": tf.TensorSpec((len(rows), crop_size, crop_size, 3), tf.float32),
        "label": tf.TensorSpec((len(rows), crop_size, crop_size), tf.uint8),
        "name": tf.TensorSpec((len(rows),), tf.string),
    }
    workers = min(available_threads(), MOST_WORKERS)
    batches = tf.data.Dataset.from_generator(
        lambda: computed_ahead(make, itertools.count(start), workers), output_signature=signature
    )
    # TensorFlow would add threads of its own that ask for more, as much as memory holds.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return batches.with_options(options)


def check_examples(examples, num_classes, colors=None, sample=16):
    """Read a few examples, evenly spaced, so that a wrong data set is found out at once.

    Args:
      examples: list of `Example` or `RecordExample`.
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
    # TensorFlow hands on the type and the text of an exception raised in Python.
    found = re.search(rf"{InputError.__name__}: (.*)", str(error))
    return InputError(found.group(1)) if found else error


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


def _grid(example, num_classes, colors, tile_size, overlap):
    label = load_pair(example, num_classes, colors)[1]
    return tile_grid(label.shape, tile_size, overlap)


def _changes(count, seed, scale_range, scale_step, mirror, jitter):
    # A function from positions of the stream to what is there: the numbers of the examples (or
    # tiles), and how they are changed, as `Change` has it.
    count, seed = tf.constant(count, tf.int64), tf.constant(seed, tf.int64)

    def at(position):
        order_seed = tf.stack([seed, position // count])
        number = tf.random.experimental.index_shuffle(position % count, order_seed, count - 1)
        drawn = augment.draw(tf.stack([seed, position]))
        factor = augment.scale_factor(drawn, *scale_range, scale_step)
        mirrored = augment.is_mirrored(drawn) & mirror
        colors = [augment.jitter_change(drawn, jitter)] if jitter else []
        return number, factor, augment.corner_draws(drawn), mirrored, *colors

    # One position after the other: many at once would be rounded otherwise than few.
    types = (tf.int64, tf.float32, tf.float32, tf.bool, *([tf.float32] if jitter else []))
    return tf.function(
        lambda positions: tf.map_fn(at, positions, fn_output_signature=types),
        input_signature=[tf.TensorSpec([None], tf.int64)],
    )
