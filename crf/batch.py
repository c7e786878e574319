"""Many images at a time: small ones side by side, large ones with all threads each."""

import numpy as np

from crf.checks import check_num_threads, shape_of
from crf.memory import available_memory, inference_bytes
from crf.single_image import refine
from crf.threads import ThreadTeam, available_threads

# An image that takes more than this is large: the threads share it. Smaller ones gain more from a
# thread of their own, because they do not wait for each other after every pass.
_SMALL_BYTES = 2**27


def refine_batch(probabilities, images, params=None, *, num_threads=None, **options):
    """Refine many images, of one size or of different ones; as `refine`, but in parallel.

    Small images are refined side by side, one thread for each; large ones one after another, with
    all threads. The results are bit-identical to those of `refine`.

    Args:
      probabilities: list of (H, W, C) floating arrays, or one (B, H, W, C) array.
      images: list of (H, W, 3) uint8 arrays, or one (B, H, W, 3) array.
      params: `CRFParams`; None uses the defaults.
      num_threads: number of threads for all images together; None uses all processors.
      options: the other options of `refine`.

    Returns:
      List of (H, W, C) float32 arrays; a single (B, H, W, C) array if `probabilities` is one.

    Raises:
      ValueError: if there is not one image for each probabilities; and as for `refine`, with the
        number of the image.

    Example:
      >>> refined = refine_batch([p for p, _ in pairs], [image for _, image in pairs])
    """
    num_threads = check_num_threads(num_threads, "refine_batch")
    for name, given in (("probabilities", probabilities), ("images", images)):
        if not (isinstance(given, list | tuple) or np.ndim(given) == 4):
            raise ValueError(f"refine_batch: {name} must be a list of arrays, or one of 4 axes")
    if len(probabilities) != len(images):
        raise ValueError(
            f"refine_batch: there are probabilities of {len(probabilities)} images, but "
            f"{len(images)} images"
        )

    def run(number, threads):
        pair = probabilities[number], images[number]
        try:
            return refine(*pair, params, num_threads=threads, **options)
        except ValueError as error:
            raise ValueError(f"refine_batch: image {number}: {error}") from None

    # Where rows differ in length, `refine` tells.
    refined = run_images(run, [shape_of(each) or () for each in probabilities], num_threads)
    if isinstance(probabilities, list | tuple):
        return refined
    return np.stack(refined) if refined else np.empty(np.shape(probabilities), np.float32)


def run_images(run, shapes, num_threads=None):
    """Run a function on every image.

    Args:
      run: function of (number of the image, number of threads for it).
      shapes: (H, W, C) of each image's probabilities.
      num_threads: number of threads for all images together; None uses all processors.

    Returns:
      List of the results, in order.
    """
    num_threads = num_threads or available_threads()
    sizes = [inference_bytes(*shape) if len(shape) == 3 else 0 for shape in shapes]
    small = [number for number, size in enumerate(sizes) if size <= _SMALL_BYTES]
    largest = max((sizes[number] for number in small), default=0)
    at_once = images_at_once(largest, len(small), num_threads, available_memory())
    results = [None] * len(shapes)
    with ThreadTeam(at_once) as team:
        # A few images share all threads, rounded up so that none is idle.
        calls = [(number, -(-num_threads // at_once)) for number in small]
        for number, result in zip(small, team.run_calls(run, calls), strict=True):
            results[number] = result
    for number, size in enumerate(sizes):
        if size > _SMALL_BYTES:
            results[number] = run(number, num_threads)
    return results


def images_at_once(image_bytes, num_images, num_threads, memory):
    """How many images to refine at the same time.

    Args:
      image_bytes: memory that refining one image takes.
      num_images: how many images there are in all.
      num_threads: number of threads for all images together.
      memory: bytes that all of them may take; None if unknown.

    Returns:
      Number of images, at least 1.
    """
    fitting = num_threads if memory is None else int(memory // max(1, image_bytes))
    return max(1, min(num_threads, num_images, fitting))
