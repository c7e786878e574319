"""Weights that let rare classes count as much as frequent ones, from the pixels of the labels.

With n_c the labeled pixels of class c, N_c all pixels of the images that show class c, and C the
number of classes that occur:

    median_frequency     w_c = median(f) / f_c  with  f_c = n_c / N_c
    inverse_frequency    w_c = sum_k n_k / (C n_c)

The first is the median frequency balancing of Eigen and Fergus (ICCV 2015) and SegNet (PAMI 2017).
With the second every class has the same total weight, and the mean weight of a pixel is 1.
"""

import numpy as np
from tqdm import tqdm

from deeplab_tf.data.image_files import load_classes
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.errors import InputError


def median_frequency(pixels, image_pixels):
    """Weights of the classes by median frequency balancing.

    Args:
      pixels: (C,) number of labeled pixels of each class.
      image_pixels: (C,) number of all pixels in the images that show the class.

    Returns:
      (C,) float64; 1 for a class that does not occur, which no pixel uses.

    Example:
      >>> median_frequency(np.array([60, 30, 10]), np.array([100, 100, 50]))
      array([0.5, 1. , 1.5])
    """
    shown = pixels > 0
    frequency = pixels[shown] / image_pixels[shown]
    weights = np.ones(len(pixels))
    weights[shown] = np.median(frequency) / frequency
    return weights


def inverse_frequency(pixels, image_pixels=None):
    """Weights of the classes by inverse frequency.

    Args:
      pixels: (C,) number of labeled pixels of each class.
      image_pixels: not used.

    Returns:
      (C,) float64; 1 for a class that does not occur, which no pixel uses.

    Example:
      >>> inverse_frequency(np.array([60, 30, 0]))
      array([0.75, 1.5 , 1.  ])
    """
    shown = pixels > 0
    weights = np.ones(len(pixels))
    weights[shown] = pixels.sum() / (shown.sum() * pixels[shown])
    return weights


BALANCINGS = {"inverse_frequency": inverse_frequency, "median_frequency": median_frequency}


def balanced_weights(balancing, examples, num_classes, encoding=None, progress=True):
    """Compute the weights of the classes from the labels of all examples.

    Args:
      balancing: a key of `BALANCINGS`.
      examples: list of `Example` or `RecordExample`: those that are trained on.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      progress: whether to show a progress bar if it takes longer than a second.

    Returns:
      A tuple of `num_classes` floats.

    Raises:
      InputError: if there is no such balancing, a label cannot be read, or all pixels are void.

    Example:
      >>> weights = balanced_weights("median_frequency", examples, 11)
      >>> model.compile("sgd", loss=SegmentationLoss(8, class_weights=weights))
    """
    if balancing not in BALANCINGS:
        raise InputError(f"unknown class weights {balancing!r}; available: {', '.join(BALANCINGS)}")

    pixels, image_pixels = count_pixels(examples, num_classes, encoding, progress)
    if not pixels.any():
        raise InputError(
            "all pixels of all labels are void; fix the labels, or give no class weights"
        )
    return tuple(BALANCINGS[balancing](pixels, image_pixels).tolist())


def count_pixels(examples, num_classes, encoding=None, progress=True):
    """Count the pixels of every class.

    Args:
      examples, num_classes, encoding, progress: as for `balanced_weights`.

    Returns:
      Two `(num_classes,)` int64 arrays: the pixels of each class, and all pixels, void ones too,
      of the images that show it.

    Raises:
      InputError: if a label cannot be read.
    """

    def count(example):
        label = load_classes(example, num_classes, encoding)
        return np.bincount(label.ravel(), minlength=256)[:num_classes], label.size

    pixels, image_pixels = np.zeros((2, num_classes), np.int64)
    counts = prefetch_map(count, examples)
    bar = {"total": len(examples), "unit": "label", "desc": "pixels of classes", "delay": 1}
    for found, size in tqdm(counts, **bar, disable=not progress):
        pixels += found
        image_pixels += size * (found > 0)
    return pixels, image_pixels
