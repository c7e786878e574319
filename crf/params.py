"""Parameters of the fully connected CRF, and the pixel features its two kernels compare."""

import math
import operator
from dataclasses import dataclass

import tensorflow as tf

NORMALIZATIONS = ("none", "before", "after", "symmetric")


@dataclass(frozen=True)
class CRFParams:
    """Parameters of the pairwise term, under the names of the DeepLab papers.

    The pairwise term is the Potts model weighted by (DeepLab v2, equation 3)

        w1 exp(-|p_i - p_j|² / 2 sigma_alpha² - |I_i - I_j|² / 2 sigma_beta²)
      + w2 exp(-|p_i - p_j|² / 2 sigma_gamma²)

    with positions p in pixels and colours I in 8-bit intensity levels.

    Args:
      w1: weight of the bilateral (appearance) kernel, at least 0.
      sigma_alpha: its range in pixels.
      sigma_beta: its range in intensity levels.
      w2: weight of the spatial (smoothness) kernel, at least 0.
      sigma_gamma: its range in pixels.
      iterations: number of mean field iterations, at least 0.
      normalization: how a kernel is divided by its row sums: "after" the filter, "before" it,
        "symmetric" (the square root of the row sums on both sides), or "none".

    Raises:
      ValueError: naming the parameter that is out of its range.

    Example:
      >>> CRFParams(w1=4, sigma_alpha=49, sigma_beta=5, w2=3, sigma_gamma=3)
    """

    w1: float = 4
    sigma_alpha: float = 67
    sigma_beta: float = 3
    w2: float = 3
    sigma_gamma: float = 3
    iterations: int = 10
    normalization: str = "symmetric"

    def __post_init__(self):
        for name in ("w1", "w2"):
            self._set(name, _number(name, self, "of at least 0", lambda value: value >= 0))
        for name in ("sigma_alpha", "sigma_beta", "sigma_gamma"):
            self._set(name, _number(name, self, "above 0", lambda value: value > 0))
        self._set("iterations", _count("iterations", self))
        if self.normalization not in NORMALIZATIONS:
            raise ValueError(
                f"CRFParams: unknown normalization {self.normalization!r}; choose one of "
                + ", ".join(NORMALIZATIONS)
            )

    def _set(self, name, value):
        # Plain Python numbers whatever came in, so that configurations can be written as JSON.
        object.__setattr__(self, name, value)


def pixel_features(image, params):
    """What the two kernels compare, scaled so that each kernel is exp(-|f_i - f_j|² / 2).

    Args:
      image: (H, W, 3) uint8 tensor, RGB.
      params: `CRFParams`.

    Returns:
      Two float32 tensors, one row per pixel in row-major order: bilateral features (H W, 5)
      in the order x, y, red, green, blue, and spatial features (H W, 2) in the order x, y.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    position = tf.cast(tf.reshape(tf.stack([x, y], axis=-1), [-1, 2]), tf.float32)
    color = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)
    bilateral = tf.concat([position / params.sigma_alpha, color / params.sigma_beta], axis=1)
    return bilateral, position / params.sigma_gamma


def _number(name, params, wanted, holds):
    given = getattr(params, name)
    try:
        value = math.nan if isinstance(given, (bool, str)) else float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise ValueError(f"CRFParams: {name} must be a finite number {wanted}, not {given!r}")
    return value


def _count(name, params):
    given = getattr(params, name)
    try:
        value = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        value = -1
    if value < 0:
        raise ValueError(f"CRFParams: {name} must be a whole number of at least 0, not {given!r}")
    return value
