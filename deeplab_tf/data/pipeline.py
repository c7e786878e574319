"""The endless stream of training batches, and the errors that name a file that cannot be used."""

import functools
import itertools
import re

import numpy as np
import tensorflow as tf

from crf.threads import available_threads
from deeplab_tf.data import augment
from deeplab_tf.data.buffers import Buffers
from deeplab_tf.data.crops import Cropper
from deeplab_tf.data.depth_targets import DepthCropper
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.data.tiles import tile_grid
from deeplab_tf.errors import InputError

# Maximum number of threads that make batches; more would wait for Python's global lock.
MAX_WORKERS = 8


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
    encoding=None,
    channels=3,
    depth=False,
    heads=0,
    padding=None,
):
    """Endless batches of randomly scaled, cropped and mirrored examples.

    Each example is scaled by a random factor, its colors are changed, a square is cut out, and
    half of the squares are mirrored; see `deeplab_tf.data.augment`. Images that are smaller than
    the square are padded at the bottom and on the right with one color, labels with 255.

    The order is shuffled again in each pass over the examples. Position p of the stream depends
    only on the examples, `seed` and p: the same seed gives the same batches, and `start=k` gives
    what follows the first k batches, without reading them.

    Args:
      examples: list of `Example` or `RecordExample`.
      num_classes: number of classes; label values are below this, or 255.
      batch_size: images per batch, of all workers together.
      crop_size: height and width of the crops in pixels.
      scale_range: smallest and largest scale factor.
      scale_step: distance of the factors that are drawn; 0 draws any factor in the range.
      mirror: whether half of the examples are mirrored.
      jitter: strength of the random color changes, 0 (none) to 1; 0.4 is common.
      tile_size: (height, width) of tiles in pixels, for large images: every tile of every image
        is then an example of its own, which is scaled and cropped. The size of the first image
        decides how many tiles each image has; in images of another size they are closer together
        or farther apart. None: whole images.
      tile_overlap: minimum number of pixels that neighboring tiles of the first image share.
      seed: seed of the order and of the augmentation.
      start: number of batches to skip.
      shard: (index, count): this worker's number and the number of workers, each of which gets
        its own batch_size / count rows of every batch.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      channels: of the images; those after red, green and blue keep their values in color changes.
      depth: whether the examples are `DepthTarget`, whose depth maps take the place of labels: the
        "label" of a batch is then float32, meters, and 0 where the depth is unknown or outside of
        the image; `num_classes` and `encoding` have no effect.
      heads: number of label maps of each example, if these are `HeadsExample`s; 0: one for each
        of the others.
      padding: that color, `channels` levels 0..255, such as `deeplab_tf.models.padding_color` gives
        for a network; None: the `mean_color`.

    Returns:
      A `tf.data.Dataset` of dicts `{"image": float32 (B, crop, crop, channels), "label": uint8
      (B, crop, crop), "name": string (B,)}` with B = batch_size / count; with heads, labels are
      (B, crop, crop, heads). Taking a batch raises
      `tf.errors.OpError` if an example cannot be used; see `input_error_from`.

    Raises:
      InputError: if there are no examples, a number is out of its range, or if the first
        example, which decides the number of tiles, cannot be read.
    """
    rows = _rows_of_worker(examples, batch_size, start, shard)
    augment.check_augmentation(crop_size, scale_range, scale_step, jitter)
    if tile_overlap and not tile_size:
        raise InputError(f"tile_overlap {tile_overlap} without tile_size; give both or neither")

    def cropper_for(grid):
        if depth:
            return DepthCropper(grid, channels, padding)
        return Cropper(num_classes, encoding, grid, channels, padding)

    cropper, tiles = cropper_for(None), 1
    if tile_size:
        grid = tile_grid(cropper.load(examples[0])[1].shape[:2], tile_size, tile_overlap)
        cropper, tiles = cropper_for(grid), grid.count
    changes_at = _changes_graph(tuple(scale_range), scale_step, mirror, jitter)
    stream = np.int64(len(examples) * tiles), np.int64(seed)
    size = len(rows), crop_size, crop_size
    image_buffers = Buffers((*size, channels), np.float32)
    label_shape = (*size, heads) if heads else size
    label_type = np.float32 if depth else np.uint8
    label_buffers = Buffers(label_shape, label_type)

    def make(step):
        # Batch number `step`, counted from the beginning of the stream.
        positions = step * batch_size + np.arange(rows.start, rows.stop, dtype=np.int64)
        with tf.device("CPU"):
            numbers, *changes = (part.numpy() for part in changes_at(positions, *stream))
        chosen = [examples[number // tiles] for number in numbers]
        images, labels = image_buffers.take(), label_buffers.take()
        changes = zip(*changes, strict=True)
        for row in zip(chosen, numbers % tiles, changes, images, labels, strict=True):
            example, tile, change, *out = row
            cropper.write(example, tile, augment.Change(*change), *out)
        names = np.array([example.name.encode() for example in chosen], object)
        return {"image": images, "label": labels, "name": names}

    signature = {
        "image": tf.TensorSpec((*size, channels), tf.float32),
        "label": tf.TensorSpec(label_shape, label_type),
        "name": tf.TensorSpec((len(rows),), tf.string),
    }
    workers = min(available_threads(), MAX_WORKERS)
    batches = tf.data.Dataset.from_generator(
        lambda: prefetch_map(make, itertools.count(start), workers), output_signature=signature
    )
    # Otherwise TensorFlow would prefetch more and more batches, until memory is full.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return batches.with_options(options)


def input_error_from(error):
    """The `InputError` that caused an error of a data set made by `training_batches`.

    Args:
      error: the exception raised by taking a batch.

    Returns:
      An `InputError` naming the file if an example is at fault; otherwise `error` itself.

    Example:
      >>> try:
      ...     batch = next(batches)
      ... except tf.errors.OpError as error:
      ...     raise input_error_from(error) from None
    """
    # TensorFlow's error contains type and text of the exception raised in Python.
    found = re.search(rf"{InputError.__name__}: (.*)", str(error))
    return InputError(found.group(1)) if found else error


def _rows_of_worker(examples, batch_size, start, shard):
    index, count = shard
    if not examples:
        raise InputError("no examples to train on; give a split that lists some")
    if batch_size < 1 or start < 0:
        raise InputError(
            f"batch_size {batch_size}, start {start}; give batch_size >= 1 and start >= 0"
        )
    if not 0 <= index < count:
        raise InputError(f"shard {shard}; give (index, count) with 0 <= index < count")
    if batch_size % count:
        raise InputError(
            f"batch_size {batch_size} cannot be split evenly among {count} workers; "
            f"give a multiple of {count}"
        )
    rows = batch_size // count
    return range(index * rows, (index + 1) * rows)


@functools.lru_cache(maxsize=16)
def _changes_graph(*augmentation):
    # A function from positions in the stream (n,), the number of examples (or tiles) in a pass,
    # and the seed, to the numbers of the examples (or tiles) and the fields of their `Change`,
    # each with n rows. It is traced once for all streams with the same arguments of `draw_change`.
    types = [tf.int64, tf.float32, tf.float32, tf.bool]
    types += [tf.float32] if augmentation[-1] else []

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.int64) for shape in ([None], [], [])])
    def changes_at(positions, count, seed):
        def at(position):
            order_seed = tf.stack([seed, position // count])
            number = tf.random.experimental.index_shuffle(position % count, order_seed, count - 1)
            *parts, colors = augment.draw_change(tf.stack([seed, position]), *augmentation)
            return number, *parts, *([] if colors is None else [colors])

        # Each position is computed separately: vectorized, the results would be rounded
        # differently for different batch sizes.
        return tf.map_fn(at, positions, fn_output_signature=tuple(types))

    return changes_at
