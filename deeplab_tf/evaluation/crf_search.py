"""Scores of CRF parameters on images whose probabilities are known, and their record on disk."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from crf import CRFParams, dense_crf
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.files import write_file


class PointScorer:
    """The mean IoU of CRF parameters over a number of images, with all cores.

    Each thread takes one image after the other, over the borders between points too, so that
    none waits.

    Args:
      pairs: list of (image (H, W, 3), truth (H, W)), both uint8.
      probabilities: function from an image to its probabilities (H, W, C) float32; called in
        all threads, for every point anew.
      num_classes: C.
      num_threads: number of images that are worked on at a time.
      progress: function from a generator and the keywords `total` and `desc` to an iterable of
        the same items that is a generator too, such as `tqdm`; sees an item for each point and
        image.

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
          points: list of `CRFParams`; None in place of one stands for no CRF.

        Raises:
          InputError: where the CRF refuses a point, or the truths are void everywhere.
        """
        tasks = [(params, *pair) for params in points for pair in self._pairs]
        executor = ThreadPoolExecutor(self._num_threads)
        counted = executor.map(lambda task: self._count(*task), tasks)
        matrices = iter(self._progress(counted, total=len(tasks), desc=f"{len(points)} points"))
        try:
            for _ in points:
                confusion = ConfusionMatrix(self._num_classes)
                for _ in self._pairs:
                    confusion.matrix += next(matrices)
                if not confusion.matrix.any():
                    raise InputError("the truths are void everywhere; search on other images")
                yield confusion.miou
            next(matrices, None)  # lets the progress bar finish
        finally:
            # Whoever stops early does not wait for what has not begun, and sees no open bar.
            matrices.close()
            executor.shutdown(cancel_futures=True)

    def _count(self, params, image, truth):
        probabilities = self._probabilities(image)
        if params is not None:
            probabilities = _refine(probabilities, image, params)
        confusion = ConfusionMatrix(self._num_classes)
        confusion.add(truth, most_probable(probabilities))
        return confusion.matrix


def _refine(probabilities, image, params):
    try:
        # One thread for each image costs less than many threads that share one.
        refined = dense_crf(probabilities[None], image[None], params, num_threads=1)
    except ValueError as error:
        raise InputError(f"CRF with {params}: {error}") from error
    return np.asarray(refined)[0]


class SearchRecord:
    """The scores of all points a search has tried, in a JSON file that always is complete.

    Args:
      path: the file; read where it exists.
      identity: dict, fit for JSON, of what the scores depend on beside the parameters.

    Raises:
      InputError: where the file is of a search with another identity, or no such record.
    """

    def __init__(self, path, identity):
        self.path = Path(path)
        self.identity = json.loads(json.dumps(identity))  # tuples come back as lists
        self.scores = self._read() if self.path.is_file() else {}

    def add(self, params, score):
        """Note the score of a `CRFParams` and write the file."""
        self.scores[params] = score
        points = [{**asdict(point), "miou": miou} for point, miou in self.scores.items()]
        contents = json.dumps({"identity": self.identity, "points": points}, indent=1)
        write_file(self.path, f"{contents}\n".encode())

    def _read(self):
        again = "delete it or give another folder"
        try:
            record = json.loads(self.path.read_bytes())
            identity, points = record["identity"], record["points"]
            scores = {_params(point): float(point["miou"]) for point in points}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path}: is no record of a search ({error}); {again}") from None
        if identity != self.identity:
            known = identity if isinstance(identity, dict) else {}
            differ = [key for key in self.identity if known.get(key) != self.identity[key]]
            raise InputError(
                f"{self.path}: is of a search with another {' and '.join(differ)}; {again}"
            )
        return scores


def identity_of_pairs(pairs):
    """Checksum of all pixels of a list of (image, truth), hexadecimal."""
    digest = hashlib.sha256()
    for array in (array for pair in pairs for array in pair):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _params(point):
    return CRFParams(**{name: value for name, value in point.items() if name != "miou"})
