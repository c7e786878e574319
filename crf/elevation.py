"""Constants of the permutohedral lattice that all engines share.

The last bit of a coordinate of a point close to the border of two simplices decides which one it
belongs to, and a vertex that only this point uses changes the result of the blur. So the engines,
like the authors' code, compute in float32, with these constants and in one order: divide a feature
by its sigma, multiply it by its scale, elevate from the last coordinate to the first, and round to
the nearest even.
"""

import math

import numpy as np

# In standard deviations.
_FAR = 1000


def elevation_scales(d):
    """Factors of the features, already divided by the sigmas, before they are elevated.

    Adams, Baek and Davis 2010, section 3.1: the diagonal of E, with a factor that gives splat, blur
    and slice together a standard deviation of 1. As in the authors' code, the deviation is
    rounded to float32 before it is multiplied.

    Args:
      d: number of features.

    Returns:
      float32 (d,).
    """
    deviation = np.float64(np.float32(math.sqrt(2 / 3) * (d + 1)))
    index = np.arange(d)
    return (1 / np.sqrt((index + 1) * (index + 2)) * deviation).astype(np.float32)


def scaled_values(count, sigma, scale):
    """What the values 0, 1, ..., count - 1 of a feature become before they are elevated.

    Args:
      count: number of values.
      sigma: standard deviation of the kernel in this feature.
      scale: the feature's entry of `elevation_scales`.

    Returns:
      float32 (count,).
    """
    return np.arange(count, dtype=np.float32) / np.float32(sigma) * scale


def column_ends(features):
    """The smallest and the largest value of each feature, (2, d); NaN if there is one.

    NumPy's own reduction over the rows of such narrow arrays takes several times as long.
    """
    return np.array([[f(column) for column in features.T] for f in (np.min, np.max)])


def near_zero(features, sigmas=1.0):
    """The features, of which those that begin far from zero are moved to begin there.

    Distances do not change if all points move; far from zero, float32 would round them.

    Args:
      features: (N, d) float64.
      sigmas: standard deviations that the features are still to be divided by, (d,) or one number.

    Returns:
      (N, d) float64.
    """
    lowest = column_ends(features)[0]
    far = np.abs(lowest) > _FAR * sigmas
    return features - np.where(far, lowest, 0) if far.any() else features
