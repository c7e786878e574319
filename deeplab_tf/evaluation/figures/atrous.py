"""Figures of atrous convolution (DeepLab v2, section 3.1), computed by the package's own layer."""

import numpy as np
from matplotlib.colors import Normalize

from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.figures.canvas import (
    DISTINCT,
    SIGNED,
    TITLE_SIZE,
    new_figure,
    outline,
    show,
)
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.resize import resize_aligned

KERNEL_SIZE = 7  # of the comparison, as in the paper's figure 3
ZOOM = 24  # side of the enlarged part, in pixels
MAP_SIDE = 12  # longer side of the small map whose cells can be counted, in cells

_NO_VALUE = "#d9d9d9"  # color of places without a value


def vertical_derivative(size):
    """A vertical Gaussian derivative: positive where the image gets brighter downward.

    Args:
      size: rows and columns, an odd number of at least 3.

    Returns:
      (size, size) float32, antisymmetric in the rows; the lower half sums to one.
    """
    at = np.arange(size) - size // 2
    bell = np.exp(-0.5 * (at / (size / 5)) ** 2)
    kernel = np.outer(at * bell, bell)
    return (kernel / kernel[size // 2 :].sum()).astype(np.float32)


def convolve(image, kernel, rate=1, padding="valid"):
    """Convolve a map of one channel by `AtrousConv2D`.

    Args:
      image: (H, W) float32.
      kernel: (n, n) float32.
      rate: dilation rate.
      padding: "valid" or "same".

    Returns:
      float32, (H, W) for "same", (H - rate (n - 1), W - rate (n - 1)) for "valid".
    """
    layer = AtrousConv2D(1, len(kernel), dilation_rate=rate, padding=padding, use_bias=False)
    layer.build((None, None, None, 1))
    layer.set_weights([kernel[..., None, None]])
    return layer(image[None, ..., None]).numpy()[0, ..., 0]


def split_phases(image, rate):
    """The rate x rate interleaved maps of every `rate`-th cell, {(row, column) of the first}."""
    return {(i, j): image[i::rate, j::rate] for i in range(rate) for j in range(rate)}


def interlace(phases, size):
    """Put the maps of `split_phases` together again to a map of this (height, width)."""
    whole = np.zeros(size, np.float32)
    rate = 1 + max(phases)[0]
    for (i, j), part in phases.items():
        whole[i::rate, j::rate] = part
    return whole


def gray(image):
    """Brightness of an image (H, W, 3) uint8 as (H, W) float32, 0 to 1."""
    return image.astype(np.float32).mean(axis=2) / 255


def compare_resolutions(image, rate=2):
    """Compare atrous convolution with downsampling, convolution and upsampling (figure 3).

    Args:
      image: (H, W, 3) uint8 RGB.
      rate: factor of the downsampling, and rate of the atrous convolution.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.

    Raises:
      InputError: if the image is too small.
    """
    kernel = vertical_derivative(KERNEL_SIZE)
    _check_size(image, rate * KERNEL_SIZE + ZOOM - 1, ", or a smaller --rate")
    # Whole steps, so that both ways have the same first and last row and column.
    height, width = ((length - 1) // rate * rate + 1 for length in image.shape[:2])
    full = gray(image[:height, :width])
    few, every = convolve(full[::rate, ::rate], kernel), convolve(full, kernel, rate)
    enlarged = resize_aligned(few[None, ..., None], *every.shape).numpy()[0, ..., 0]
    implanted = np.full(every.shape, np.nan, np.float32)
    implanted[::rate, ::rate] = few
    figure = new_figure(8, 4.6)
    axes = figure.subplots(2, 4, width_ratios=(1.5, 1, 1.5, 1))
    limit, corner = float(np.abs(every).max()) or 1.0, _busiest(every)
    _pipeline(axes[0], full[::rate, ::rate], (kernel, 1), enlarged, implanted, limit, corner)
    _pipeline(axes[1], full, (kernel, rate), every, every, limit, corner)
    axes[0, 0].set_title(f"one row and column of {rate}", fontsize=TITLE_SIZE)
    axes[0, 0].set(xlim=axes[1, 0].get_xlim(), ylim=axes[1, 0].get_ylim())  # the same scale
    axes[0, 0].spines[:].set_visible(False)
    axes[1, 0].set_title("all pixels", fontsize=TITLE_SIZE)
    axes[0, 1].set_title("kernel", fontsize=TITLE_SIZE)
    axes[1, 1].set_title(f"kernel with holes (rate {rate})", fontsize=TITLE_SIZE)
    axes[0, 2].set_title("responses, enlarged", fontsize=TITLE_SIZE)
    axes[1, 2].set_title("responses", fontsize=TITLE_SIZE)
    axes[0, 3].set_title(
        f"computed in the box:\n1 pixel of {rate * rate} (gray: none)", fontsize=TITLE_SIZE
    )
    axes[1, 3].set_title("computed in the box:\nevery pixel", fontsize=TITLE_SIZE)
    axes[0, 0].set_ylabel("downsample, convolve,\nupsample")
    axes[1, 0].set_ylabel("atrous convolution")
    bar = figure.colorbar(axes[1, 2].images[0], ax=axes, location="bottom", shrink=0.6, aspect=40)
    bar.set_ticks(
        [-0.6 * limit, 0, 0.6 * limit], labels=["darker below", "no edge", "brighter below"]
    )
    return figure


def two_ways(image, rate=2):
    """Show that holes in the kernel, and convolutions of subsampled maps, give the same.

    Args:
      image: (H, W, 3) uint8 RGB; a small gray version of it is the map that is convolved.
      rate: dilation rate.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.

    Raises:
      InputError: if the image is too small.
    """
    kernel = vertical_derivative(3)
    _check_size(image, 2 * rate, ", or a smaller --rate")
    cells = gray(shrink(image, MAP_SIDE * rate // 2))
    cells -= cells.mean()  # or the zeros around the map would be its strongest edge
    holes = convolve(cells, kernel, rate, "same")
    parts = split_phases(cells, rate)
    results = {phase: convolve(part, kernel, padding="same") for phase, part in parts.items()}
    phases = interlace(results, cells.shape)
    difference = float(np.abs(holes - phases).max())
    limit = float(np.abs(holes).max()) or 1.0
    signed, levels = {"cmap": SIGNED, "norm": Normalize(-limit, limit)}, {"cmap": "gray"}
    figure = new_figure(8, 4)
    axes = figure.subplots(2, 4, width_ratios=(1.4, 0.8, 1.4, 1.4))
    show(axes[0, 0], cells, "map; dots: its phases", **levels)
    _show_kernel(axes[0, 1], kernel, rate, f"kernel with holes\n(rate {rate})")
    show(axes[0, 3], holes, "result", **signed)
    _show_phases(axes[1, 0], parts, f"{rate * rate} phases of the map", **levels)
    _show_kernel(axes[1, 1], kernel, 1, "the same kernel\nwithout holes")
    _show_phases(axes[1, 2], results, "result of each phase", **signed)
    show(axes[1, 3], phases, "results put together", **signed)
    for cell in (axes[0, 0], axes[1, 3]):
        _mark_phases(cell, parts)
    axes[0, 0].set_ylabel("holes in the kernel")
    axes[1, 0].set_ylabel("split the map")
    axes[0, 2].axis("off")
    text = f"Both results are equal:\nlargest difference {difference:.1g}"
    axes[0, 2].text(0.5, 0.5, text, ha="center", va="center", transform=axes[0, 2].transAxes)
    return figure


def _check_size(image, smallest, remedy):
    height, width = image.shape[:2]
    if min(height, width) < smallest:
        raise InputError(
            f"image of {width}x{height} pixels; give one of at least {smallest}x{smallest}{remedy}"
        )


def _busiest(responses):
    """(row, column) of the first pixel of the part, `ZOOM` on a side, with the most response."""
    sums = np.pad(np.abs(responses), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    sums = sums[ZOOM:, ZOOM:] - sums[:-ZOOM, ZOOM:] - sums[ZOOM:, :-ZOOM] + sums[:-ZOOM, :-ZOOM]
    return np.unravel_index(sums.argmax(), sums.shape)


def _pipeline(axes, picture, kernel, responses, known, limit, corner):
    """One row of `compare_resolutions`."""
    signed, (top, left) = {"cmap": SIGNED, "norm": Normalize(-limit, limit)}, corner
    show(axes[0], picture, cmap="gray", vmin=0, vmax=1)
    _show_kernel(axes[1], *kernel)
    show(axes[2], responses, **signed)
    outline(axes[2], left - 0.5, top - 0.5, ZOOM, ZOOM, edgecolor="black")
    axes[3].set_facecolor(_NO_VALUE)
    show(axes[3], known[top : top + ZOOM, left : left + ZOOM], **signed)


def _show_kernel(axes, kernel, rate, title=""):
    limit, size = np.abs(kernel).max(), rate * (len(kernel) - 1) + 1
    spread = np.full((size, size), np.nan)
    spread[::rate, ::rate] = kernel
    axes.set_facecolor(_NO_VALUE)  # of the holes
    show(axes, spread, title, cmap=SIGNED, vmin=-limit, vmax=limit)
    for edge in range(size + 1):
        axes.axhline(edge - 0.5, color="black", linewidth=0.4)
        axes.axvline(edge - 0.5, color="black", linewidth=0.4)


def _show_phases(axes, parts, title, **look):
    """Draw the maps of `split_phases` in a square, each in a frame of its color."""
    rate, (height, width) = 1 + max(parts)[0], parts[0, 0].shape
    sheet = np.full((rate * (height + 1) - 1, rate * (width + 1) - 1), np.nan, np.float32)
    for (i, j), part in parts.items():
        top, left = i * (height + 1), j * (width + 1)
        sheet[top : top + part.shape[0], left : left + part.shape[1]] = part
        frame = {"edgecolor": _phase_color(i, j, rate), "linewidth": 2, "clip_on": False}
        outline(axes, left - 0.5, top - 0.5, part.shape[1], part.shape[0], **frame)
    show(axes, sheet, title, **look)
    axes.spines[:].set_visible(False)


def _mark_phases(axes, parts):
    """Put a dot of its phase's color on every cell of a map."""
    rate = 1 + max(parts)[0]
    for (i, j), part in parts.items():
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]] * rate
        color = _phase_color(i, j, rate)
        axes.scatter(columns + j, rows + i, s=9, color=color, edgecolors="white", linewidths=0.4)


def _phase_color(row, column, rate):
    return DISTINCT[(row * rate + column) % len(DISTINCT)]
