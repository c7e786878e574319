"""The parts of a CRF parameter search: cached probabilities, scores, and a record of the scores.

The network's probabilities are computed once and kept on disk (`ProbabilityCache`), every set of
parameters is scored on them (`PointScorer`), and all scores are kept in a file (`SearchRecord`), so
that an interrupted search can resume.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np

from crf import CRFParams, dense_crf
from crf.params import MIN_PROBABILITY
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.files import write_file
from deeplab_tf.untrusted import parse_json

# To be increased when a change of the code makes the stored probabilities outdated.
_CACHE_FORMAT = 1


class ProbabilityCache:
    """Probabilities of images in a folder, one file for each image.

    A file's name is a checksum of the image's pixels and of everything else that the probabilities
    depend on, so that no result of another model, of other settings or for another image is ever
    used. An interrupted search finds what it has already computed.

    Probabilities are stored as float16, and those below 1e-5 as 0, because the CRF clamps both to
    1e-5.

    Args:
      folder: where the files are; created with the first file.
      identity: JSON-serializable dict of everything but the image that the probabilities depend on:
        the model's checksum and the settings of `predict_probabilities`.
      num_classes: number of classes.

    Example:
      >>> if image not in cache:
      ...     cache.save(image, predict_probabilities(model, image))
      >>> probabilities = cache.load(image)
    """

    def __init__(self, folder, identity, num_classes):
        self._folder = Path(folder)
        self._num_classes = num_classes
        self._identity = json.dumps([_CACHE_FORMAT, identity], sort_keys=True).encode()

    def __contains__(self, image):
        try:
            self.stored(image)
        except InputError:
            return False
        return True

    def path(self, image):
        """Path of the file for an image, (H, W, 3) uint8, whether it exists or not."""
        digest = hashlib.sha256(self._identity)
        _add_pixels(digest, image)
        return self._folder / f"{digest.hexdigest()[:32]}.npy"

    def save(self, image, probabilities):
        """Store the probabilities (H, W, C) float32 of an image (H, W, 3) uint8."""
        contents = BytesIO()
        # Processors are slow with subnormal numbers, which smaller values would be in float16.
        kept = np.where(probabilities < MIN_PROBABILITY, 0, probabilities)
        np.save(contents, kept.astype(np.float16))
        write_file(self.path(image), contents.getvalue())

    def load(self, image):
        """The probabilities of an image, (H, W, C) float32 that sum to one over the classes.

        Raises:
          InputError: if they are not stored, or their file is damaged.
        """
        return restore(self.stored(image))

    def stored(self, image):
        """What is stored for an image, (H, W, C) float16, mapped from its file; see `restore`.

        Raises:
          InputError: as `load`.
        """
        path = self.path(image)
        try:
            stored = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{path}: no probabilities of this image ({error}); search again"
            ) from None
        expected = (*image.shape[:2], self._num_classes)
        if stored.shape != expected or stored.dtype != np.float16:
            raise InputError(
                f"{path}: holds {stored.dtype} {stored.shape}, not float16 {expected}; search again"
            )
        return stored


class PointScorer:
    """Scores CRF parameters by their mean IoU over a number of images, with all processors.

    Each thread takes one image after another, and then starts the next point without waiting for
    the other threads.

    Args:
      pairs: list of (image (H, W, 3) RGB, true labels (H, W)), both uint8; of images with more
        channels, the CRF uses the first three.
      probabilities: function from an image to its probabilities (H, W, C) float32; called in
        all threads, once for each point and image.
      num_classes: C.
      num_threads: number of images that are refined at a time.
      progress: function from a generator and the keywords `total` and `desc` to a generator of the
        same items, such as `tqdm`; it sees one item for each point and image.

    Example:
      >>> scorer = PointScorer(pairs, cache.load, 11, num_threads=2)
      >>> list(scorer([CRFParams(w1=4), CRFParams(w1=5)]))
      [0.561, 0.559]
    """

    def __init__(self, pairs, probabilities, num_classes, num_threads, progress=None):
        self._pairs = pairs
        self._probabilities = probabilities
        self._num_classes = num_classes
        self._num_threads = num_threads
        self._progress = progress or (lambda items, total, desc: items)

    def __call__(self, points):
        """Yield the mean IoU of each point.

        Args:
          points: list of `CRFParams`; None in place of one means no CRF.

        Raises:
          InputError: if the CRF refuses a point, or the true labels are void everywhere.
        """
        tasks = [(params, *pair) for params in points for pair in self._pairs]
        executor = ThreadPoolExecutor(self._num_threads)
        counted = executor.map(self._count, tasks)
        matrices = iter(self._progress(counted, total=len(tasks), desc=f"{len(points)} points"))
        try:
            for _ in points:
                confusion = ConfusionMatrix(self._num_classes)
                for _ in self._pairs:
                    confusion.matrix += next(matrices)
                if not confusion.matrix.any():
                    raise InputError("the true labels are void everywhere; search on other images")
                yield confusion.miou
            next(matrices, None)  # lets the progress bar finish
        finally:
            # If the caller stops early: close the progress bar, and cancel what has not begun.
            matrices.close()
            executor.shutdown(cancel_futures=True)

    def _count(self, task):
        params, image, truth = task
        probabilities = self._probabilities(image)
        return count_point(params, image, truth, probabilities, self._num_classes)


def restore(stored):
    """The probabilities (H, W, C) float32 that `ProbabilityCache.stored` gives, summing to one."""
    probabilities = stored.astype(np.float32)
    return probabilities / probabilities.sum(axis=-1, keepdims=True)


def count_point(params, image, truth, probabilities, num_classes):
    """The confusion matrix of one image after the CRF.

    Args:
      params: `CRFParams`; None: no CRF.
      image: (H, W, channels) uint8.
      truth: (H, W) uint8 true classes.
      probabilities: (H, W, C) float32.
      num_classes: C.

    Returns:
      (C, C) int64.

    Raises:
      InputError: if the CRF refuses its parameters.
    """
    if params is not None:
        try:
            # One thread for each image is faster than several threads that share one.
            refined = dense_crf(probabilities[None], image[None, ..., :3], params, num_threads=1)
        except ValueError as error:
            raise InputError(f"CRF with {params}: {error}") from error
        probabilities = np.asarray(refined)[0]
    confusion = ConfusionMatrix(num_classes)
    confusion.add(truth, most_probable(probabilities))
    return confusion.matrix


class SearchRecord:
    """The scores of all points that a search has tried, in a JSON file.

    The file is replaced as a whole after every score, so an interruption cannot damage it.

    Args:
      path: the file; it is read if it exists.
      identity: JSON-serializable dict of everything but the parameters that the scores depend on.

    Raises:
      InputError: if the file belongs to a search with another identity, or is not such a record.
    """

    def __init__(self, path, identity):
        self.path = Path(path)
        self._identity = json.loads(json.dumps(identity))  # tuples become lists, as in a file
        self.scores = self._read() if self.path.is_file() else {}

    def add(self, params, score):
        """Record the score of a `CRFParams` and write the file."""
        self.scores[params] = score
        points = [{**asdict(point), "miou": miou} for point, miou in self.scores.items()]
        contents = json.dumps({"identity": self._identity, "points": points}, indent=1)
        write_file(self.path, f"{contents}\n".encode())

    def _read(self):
        remedy = "delete it or give another folder"
        try:
            record = parse_json(self.path.read_bytes())
            identity, scores = record["identity"], {}
            for point in record["points"]:
                miou = float(point.pop("miou"))
                scores[CRFParams(**point)] = miou
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.path}: not a record of a search ({error}); {remedy}") from None
        if identity != self._identity:
            known = identity if isinstance(identity, dict) else {}
            differ = [key for key in self._identity if known.get(key) != self._identity[key]]
            differ = " and ".join(differ)
            raise InputError(
                f"{self.path}: belongs to another search, which differs in {differ}; {remedy}"
            )
        return scores


def identity_of_pairs(pairs):
    """Hexadecimal checksum of all pixels of a list of (image, truth)."""
    digest = hashlib.sha256()
    for pair in pairs:
        for array in pair:
            _add_pixels(digest, array)
    return digest.hexdigest()


def _add_pixels(digest, array):
    digest.update(f"{array.shape}{array.dtype}".encode())
    digest.update(np.ascontiguousarray(array))
