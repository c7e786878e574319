"""Strips of an image that is too large to be refined at once, in TensorFlow operations.

They are planned as in crf/strips.py, for the memory that the lattice engine takes; here a graph may
know the size of the image only when it runs.
"""

import tensorflow as tf

from crf.strips import least_kept, plan_strips, strip_bytes


def refine_in_strips(refine_part, probabilities, image, params, max_memory, overlap, factor):
    """Refine one image in strips across its longer side, one after another.

    Args:
      refine_part: function from the probabilities (h, w, C), the image (h, w, 3) and the origin
        (row, column) of a part of the image to marginals (h, w, C).
      probabilities: (H, W, C) floating; C is static.
      image: (H, W, 3) uint8.
      params, max_memory, overlap, factor: as for `crf.strips.plan_strips`.

    Returns:
      (H, W, C) of the probabilities' type.

    Raises:
      ValueError: if `max_memory` is too little; for an image whose size only the running graph
        knows, `tf.errors.InvalidArgumentError`.
    """
    if probabilities.shape.is_fully_defined():
        shape = tuple(probabilities.shape)
        plan_strips(shape, params, max_memory, overlap, "dense_crf", factor)
    size = tf.shape(probabilities)
    longer, count = _count_strips(size, max_memory, overlap, factor)
    # Which of (rows, columns, labels) is divided.
    divided = tf.cast(tf.stack([size[0] >= size[1], size[0] < size[1], False]), tf.int32)

    def refine_strip(number, refined):
        first, last = longer * number // count, longer * (number + 1) // count
        start, stop = tf.maximum(0, first - overlap), tf.minimum(longer, last + overlap)
        seen, kept = divided * start, divided * (first - start)
        shape = size + divided * (stop - start - longer)
        prior = tf.slice(probabilities, seen, shape)
        prior.set_shape([None, None, probabilities.shape[2]])
        colors = tf.slice(image, seen, tf.stack([shape[0], shape[1], 3]))
        part = refine_part(prior, colors, (seen[0], seen[1]))
        part = tf.slice(part, kept, size + divided * (last - first - longer))
        refined = tf.raw_ops.TensorStridedSliceUpdate(
            input=refined,
            begin=divided * first,
            end=size + divided * (last - longer),
            strides=[1, 1, 1],
            value=part,
        )
        return number + 1, refined

    return tf.while_loop(
        lambda number, _: number < count,
        refine_strip,
        (0, tf.zeros_like(probabilities)),
        parallel_iterations=1,
    )[1]


def _count_strips(size, max_memory, overlap, factor):
    """The longer side of an image of size (H, W, C), and the number of strips."""
    longer, shorter = tf.reduce_max(size[:2]), tf.reduce_min(size[:2])
    shorter, labels = tf.cast(shorter, tf.int64), tf.cast(size[2], tf.int64)
    line_bytes = strip_bytes(1, shorter, labels, factor)
    most_lines = min(int(max_memory), tf.int64.max) // line_bytes
    lines = tf.cast(tf.minimum(most_lines, tf.int32.max), tf.int32)
    kept = tf.where(lines >= longer, longer, lines - 2 * overlap)
    least = tf.where(lines >= longer, longer, least_kept(overlap))
    fewest = tf.minimum(longer, 2 * overlap + least_kept(overlap))
    check = tf.debugging.Assert(
        kept >= least,
        [
            f"dense_crf: max_memory is {max_memory / 1e9:.3g} GB, but the strips of this image, "
            f"with an overlap of {overlap} pixels, take more; give more, or a smaller overlap, "
            "which makes larger errors. Bytes that are needed:",
            line_bytes * tf.cast(fewest, tf.int64),
        ],
    )
    with tf.control_dependencies([check]):
        return longer, -(-longer // kept)
