"""A network's probabilities on disk, so that they are computed only once."""

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np

from crf.params import MIN_PROBABILITY
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file

FORMAT = 1  # to be raised where the same model, image and settings give other probabilities


class ProbabilityCache:
    """Probabilities of images in a folder, one file for each image.

    A file's name is a checksum of the image's pixels and of everything else that the
    probabilities depend on. What was computed with another model, other settings or from
    another image is therefore never found, and a run that was stopped finds what it had.

    Stored as float16, and as 0 below the least probability that the CRF tells from 0. That
    takes two bytes a value. Of the 172,800 pixels of a CamVid image it turned the labels of 0
    to 6 before the CRF and of 0 to 2 after it; logarithms of 8 bits, half as large, turned 136
    to 380 and 17 to 30.

    Args:
      folder: where the files are; made when the first is written.
      identity: dict, fit for JSON, of what the probabilities depend on beside the image: the
        model's checksum and the settings of `predict_probabilities`.
      num_classes: number of classes.

    Example:
      >>> if image not in cache:
      ...     cache.save(image, predict_probabilities(model, image))
      >>> probabilities = cache.load(image)
    """

    def __init__(self, folder, identity, num_classes):
        self.folder = Path(folder)
        self.num_classes = num_classes
        self._identity = json.dumps([FORMAT, identity], sort_keys=True).encode()

    def __contains__(self, image):
        try:
            self._open(image)
        except InputError:
            return False
        return True

    def path(self, image):
        """Path of the file of one image, (H, W, 3) uint8, whether it exists or not."""
        digest = hashlib.sha256(self._identity)
        digest.update(f"{image.shape}{image.dtype}".encode())
        digest.update(np.ascontiguousarray(image))
        return self.folder / f"{digest.hexdigest()[:32]}.npy"

    def save(self, image, probabilities):
        """Store the probabilities (H, W, C) float32 of an image (H, W, 3) uint8."""
        contents = BytesIO()
        # Also faster: what is below would be subnormal in float16.
        kept = np.where(probabilities < MIN_PROBABILITY, 0, probabilities)
        np.save(contents, kept.astype(np.float16))
        write_file(self.path(image), contents.getvalue())

    def load(self, image):
        """The probabilities of an image, (H, W, C) float32 that sum to one over the classes.

        Raises:
          InputError: where they are not stored, or their file is damaged.
        """
        probabilities = self._open(image).astype(np.float32)
        return probabilities / probabilities.sum(axis=-1, keepdims=True)

    def _open(self, image):
        path = self.path(image)
        try:
            stored = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: no probabilities of this image: {error}") from None
        wanted = (*image.shape[:2], self.num_classes)
        if stored.shape != wanted or stored.dtype != np.float16:
            raise InputError(f"{path}: holds {stored.dtype} {stored.shape}, not float16 {wanted}")
        return stored
