"""Errors of predicted depth maps, from sums over all pixels of a whole data set."""

import numpy as np

from deeplab_tf.distribute.strategy import sum_over_workers
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.metrics import number_or_none

THRESHOLD = 1.25

# What tables call each error, in the order in which papers list them. More is better of the deltas,
# less of the others.
TITLES = {
    "rmse": "RMSE (m)",
    "rmse_log": "RMSE (log)",
    "abs_rel": "absolute relative",
    "sq_rel": "squared relative (m)",
    "log10": "log10",
    "scale_invariant_log": "scale-invariant RMSE (log)",
    "delta1": "delta < 1.25",
    "delta2": "delta < 1.25^2",
    "delta3": "delta < 1.25^3",
}


class DepthErrors:
    """Sums up how far predicted depth is from the true one, over any number of images.

    The errors are those of Eigen, Puhrsch and Fergus (NIPS 2014, section 4.3), and the mean error
    of the logarithm to base 10. With the predicted depth y, the true depth y* and the n pixels of
    all images whose true depth is known,

        rmse                  sqrt((1/n) sum (y - y*)^2), in meters
        rmse_log              sqrt((1/n) sum (ln y - ln y*)^2)
        abs_rel               (1/n) sum |y - y*| / y*
        sq_rel                (1/n) sum (y - y*)^2 / y*, in meters
        log10                 (1/n) sum |log10 y - log10 y*|
        scale_invariant_log   rmse_log after the predictions of each image were multiplied by the
                              one factor that makes it smallest
        delta1, 2, 3          share of the pixels with max(y / y*, y* / y) < 1.25, 1.25^2, 1.25^3

    Before anything is counted, every error is NaN.

    Example:
      >>> errors = DepthErrors()
      >>> errors.add(np.float32([[1, 2, 0]]), np.float32([[1, 4, 3]]))
      >>> errors.delta1, errors.abs_rel
      (0.5, 0.5)
    """

    _NAMES = ("square", "log_square", "abs_rel", "sq_rel", "log", "centered", "d1", "d2", "d3")

    def __init__(self):
        self.pixels = 0
        self._sums = np.zeros(len(self._NAMES))

    def add(self, truth, depth):
        """Count the pixels of one image, except those of unknown true depth.

        Args:
          truth: (H, W) floats, the true depth in meters; 0, negative, infinite or NaN: unknown.
          depth: (H, W) floats, the predicted depth in meters.

        Raises:
          InputError: if the shapes differ, or a predicted depth is not a finite number above 0.
        """
        truth, depth = np.asarray(truth, np.float64), np.asarray(depth, np.float64)
        if truth.shape != depth.shape:
            raise InputError(
                f"true depth is {truth.shape} and predicted depth {depth.shape}; give arrays of "
                "the same shape"
            )
        known = np.isfinite(truth) & (truth > 0)
        truth, depth = truth[known], depth[known]
        if not ((depth > 0) & np.isfinite(depth)).all():
            raise InputError("a predicted depth is not a finite number above 0; give meters")
        if not truth.size:
            return
        difference, log = depth - truth, np.log(depth / truth)
        self.pixels += truth.size
        self._sums += [
            np.sum(difference**2),
            np.sum(log**2),
            np.sum(np.abs(difference) / truth),
            np.sum(difference**2 / truth),
            np.sum(np.abs(log)),
            np.sum((log - log.mean()) ** 2),
            # The larger of the two ratios is that of the absolute logarithm.
            *(np.sum(np.abs(log) < power * np.log(THRESHOLD)) for power in (1, 2, 3)),
        ]

    def sum_over_workers(self, strategy):
        """Replace the sums by those of all workers; every worker must call it."""
        self._sums = sum_over_workers(strategy, self._sums)
        self.pixels = int(sum_over_workers(strategy, np.int64(self.pixels)))

    def _mean(self, name):
        return float(self._sums[self._NAMES.index(name)] / self.pixels) if self.pixels else np.nan

    @property
    def rmse(self):
        """Root mean squared error in meters."""
        return float(np.sqrt(self._mean("square")))

    @property
    def rmse_log(self):
        """Root mean squared error of the natural logarithm."""
        return float(np.sqrt(self._mean("log_square")))

    @property
    def abs_rel(self):
        """Mean absolute error, relative to the true depth."""
        return self._mean("abs_rel")

    @property
    def sq_rel(self):
        """Mean squared error divided by the true depth, in meters."""
        return self._mean("sq_rel")

    @property
    def log10(self):
        """Mean absolute error of the logarithm to base 10."""
        return self._mean("log") / np.log(10)

    @property
    def scale_invariant_log(self):
        """`rmse_log` after each image was given its best scale."""
        return float(np.sqrt(self._mean("centered")))

    @property
    def delta1(self):
        """Share of the pixels within a factor of 1.25, 0 to 1."""
        return self._mean("d1")

    @property
    def delta2(self):
        """Share of the pixels within a factor of 1.25^2, 0 to 1."""
        return self._mean("d2")

    @property
    def delta3(self):
        """Share of the pixels within a factor of 1.25^3, 0 to 1."""
        return self._mean("d3")

    def to_dict(self):
        """All errors as plain numbers for JSON, with None for NaN, and the number of pixels."""
        found = {name: number_or_none(getattr(self, name)) for name in TITLES}
        return {**found, "pixels": self.pixels}

    def table(self):
        """The errors as text, a line for each."""
        width = max(map(len, TITLES.values()))
        rows = [(title, getattr(self, name)) for name, title in TITLES.items()]
        return "\n".join(
            f"{title.ljust(width)}{'-' if np.isnan(value) else format(value, '.4f'):>10}"
            for title, value in rows
        )
