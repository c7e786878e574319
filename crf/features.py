"""Features of points on grids: images, volumes, videos, with any number of channels."""

import math
import operator

import numpy as np

from crf.checks import as_numbers
from crf.elevation import near_zero
from crf.gaussian import Kernel
from crf.memory import check_memory
from crf.params import CRFParams


def grid_features(shape, sigma, spacing=1.0, origin=0):
    """Features of the positions on a grid, for a kernel that smooths.

    Args:
      shape: size of the grid along each axis: (H, W) for an image, (D, H, W) for a volume,
        (T, H, W) for a video.
      sigma: standard deviation, a number, or one for each axis, in the order of `shape`; above 0.
        np.inf makes distances along an axis not count.
      spacing: distance of neighbors along each axis in the unit of `sigma`, such as millimeters
        for the voxels of a scanner; a number, or one for each axis, above 0.
      origin: where the grid begins in a larger one, in points, such as (row, column) for a part
        of an image; a whole number, or one for each axis, at least 0.

    Returns:
      (N, d) float32 for N points in row-major order. The columns are those of the last axis first:
      x, y, z.

    Raises:
      ValueError: naming the argument that is wrong, or the memory that is needed, if it is too
        little.

    Example:
      >>> Kernel(grid_features((40, 256, 256), sigma=3, spacing=(2.5, 0.8, 0.8)), 3)
    """
    try:
        shape = tuple(map(operator.index, shape))
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(
            "grid_features: shape must be the sizes along the grid's axes, each at least 1"
        )
    check_memory(8 * math.prod(shape) * len(shape), "the features")
    return _positions(shape, sigma, spacing, origin, "grid_features: ", "sigma")


def image_features(image, sigma_space, sigma_values, spacing=1.0, channel_axis=-1, origin=0):
    """Features of positions and values, for a kernel that compares what points look like.

    Args:
      image: numbers of any type on a grid of any rank: (H, W, 3) for RGB, (D, H, W, 1) for a
        scan, (H, W, 8) for eight bands. Not scaled, so `sigma_values` is in its unit.
      sigma_space: standard deviation of positions, as `sigma` of `grid_features`.
      sigma_values: standard deviation of values: a number, or one for each channel; above 0.
        np.inf makes a channel not count.
      spacing: as for `grid_features`.
      channel_axis: the axis of the channels; None if the image has none, such as (H, W) for gray.
      origin: as for `grid_features`.

    Returns:
      (N, d) float32: the columns of `grid_features`, then those of the channels. A channel that
      begins more than 1000 standard deviations from zero is moved to begin there, because float32
      would round it; distances stay the same.

    Raises:
      ValueError: naming the argument that is wrong, or the memory that is needed, if it is too
        little.

    Example:
      >>> Kernel(image_features(scan, sigma_space=5, sigma_values=20, channel_axis=None), 10)
    """
    values = as_numbers(image, "image_features: the image's values", None)
    values = values[..., None] if channel_axis is None else _channels_last(values, channel_axis)
    if values.ndim < 2:
        raise ValueError(
            f"image_features: the image is {np.shape(image)}, which leaves no axis for positions; "
            "for one without channels, give channel_axis=None"
        )
    if 0 in values.shape[:-1]:
        raise ValueError(f"image_features: the image is empty: its shape is {np.shape(image)}")
    if not np.isfinite(values).all():
        raise ValueError(
            "image_features: the image holds NaN or infinite values; give them a number, such as "
            "that of the background"
        )
    *shape, channels = values.shape
    sigmas = _one_for_each(sigma_values, channels, "image_features: sigma_values", "channel")
    num_points = math.prod(shape)
    check_memory(num_points * (16 * channels + 8 * len(shape)), "the features")
    values = values.reshape(-1, channels).astype(np.float64, copy=False)
    colors = near_zero(values, sigmas).astype(np.float32)
    # In float32, as in the numba engine of `refine`.
    colors /= sigmas.astype(np.float32)
    positions = _positions(shape, sigma_space, spacing, origin, "image_features: ", "sigma_space")
    return np.concatenate([positions, colors], axis=1)


def image_kernels(image, params=None, origin=0):
    """The two kernels of the DeepLab papers, as `refine` uses them.

    Args:
      image: (H, W, 3) array of colors.
      params: `CRFParams`; None uses the defaults. Its `iterations` are not used.
      origin: as for `grid_features`.

    Returns:
      List of `Kernel`: the bilateral and the spatial one, without those of weight 0.

    Example:
      >>> infer(unary_from_probabilities(probabilities), image_kernels(image, params))
    """
    params = CRFParams() if params is None else params
    features = (
        image_features(image, params.sigma_alpha, params.sigma_beta, origin=origin),
        grid_features(np.shape(image)[:2], params.sigma_gamma, origin=origin),
    )
    factor = 1 if params.compatibility is None else np.array(params.compatibility)
    return [
        Kernel(columns, weight * factor, params.normalization)
        for columns, weight in zip(features, (params.w1, params.w2), strict=True)
        if weight
    ]


def _positions(shape, sigma, spacing, origin, caller, sigma_name):
    """What `grid_features` returns; errors name its arguments as the caller does."""
    sigmas = _one_for_each(sigma, len(shape), caller + sigma_name, "axis")
    steps = _one_for_each(spacing, len(shape), f"{caller}spacing", "axis")
    firsts = _first_points(origin, len(shape), f"{caller}origin")
    # In float32, as in the numba engine of `refine`: the same points lie on borders of simplices.
    axes = [
        np.arange(first, first + size, dtype=np.float32) * np.float32(step) / np.float32(sigma)
        for first, size, step, sigma in zip(firsts, shape, steps, sigmas, strict=True)
    ]
    positions = np.meshgrid(*axes, indexing="ij")
    return np.stack([position.reshape(-1) for position in reversed(positions)], axis=1)


def _first_points(origin, count, what):
    """The index of the first point along each of `count` axes, as ints."""
    firsts = np.asarray(origin)
    if firsts.dtype.kind not in "iu" or firsts.shape not in ((), (count,)) or (firsts < 0).any():
        raise ValueError(
            f"{what} must be a whole number of at least 0, or one for each axis: {count}, not "
            f"{origin!r}"
        )
    return np.broadcast_to(firsts, (count,)).tolist()


def _channels_last(values, axis):
    try:
        return np.moveaxis(values, axis, -1)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_features: an image of shape {values.shape} has no channel_axis {axis!r}"
        ) from None


def _one_for_each(given, count, what, of):
    """`count` numbers above 0 as float64, from one or from `count`."""
    values = as_numbers(given, what)
    if values.shape not in ((), (1,), (count,)):
        raise ValueError(
            f"{what} must be a number, or one for each {of}: {count}, but its shape is "
            f"{values.shape}"
        )
    if not (values > 0).all():
        raise ValueError(f"{what} must be above 0, not {given!r}")
    return np.broadcast_to(values, (count,))
