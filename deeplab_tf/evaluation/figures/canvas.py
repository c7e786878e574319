"""What the figures share: colors that color-blind readers can tell apart, and titled pictures."""

import io

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from deeplab_tf.evaluation import plots
from deeplab_tf.labels import LabelSet, voc_colors

# Okabe and Ito's colors, without black: color-blind readers can tell them apart.
DISTINCT = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442")

SIGNED = "RdBu_r"  # color map of values above and below 0: red and blue, 0 is white
AMOUNT = "viridis"  # color map of values from 0 up; its brightness alone tells them apart

DPI = 100  # a figure 8 inches wide fills 800 pixels, at which 10-point text is easy to read
TITLE_SIZE = 9.5

_DARK = (70, 70, 70)

LARGE_FILE = 120_000  # bytes


def readable_labels(names):
    """`LabelSet` of classes without colors of their own.

    The first class, often the background, is dark gray; the next seven can be told apart by
    color-blind readers, and are brighter. Further classes have the colors of the VOC palette.

    Args:
      names: of the classes.
    """
    bright = [tuple(round(255 * part) for part in to_rgb(color)) for color in DISTINCT]
    colors = [_DARK, *bright, *voc_colors(len(names))[1 + len(bright) :]]
    return LabelSet(names, colors[: len(names)])


def new_figure(width, height):
    """A figure of so many inches, to be used inside `plots.style`."""
    return Figure((width, height), layout="constrained")


def show(axes, picture, title="", **options):
    """Draw a picture without ticks.

    Args:
      axes: matplotlib's axes to draw on.
      picture: (H, W, 3) uint8 RGB, or (H, W) numbers.
      title: text above it.
      **options: of `Axes.imshow`, such as `cmap`.

    Returns:
      matplotlib's image, for a color bar.
    """
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.6)
    axes.set_title(title, fontsize=TITLE_SIZE)
    return axes.imshow(picture, **{"interpolation": "nearest", **options})


def outline(axes, left, top, width, height, **look):
    """Draw a rectangle without filling; `look` is of `matplotlib.patches.Rectangle`."""
    axes.add_patch(Rectangle((left, top), width, height, fill=False, **look))


def color_legend(figure, entries):
    """List colors and their meanings below a figure.

    Args:
      figure: matplotlib's figure.
      entries: list of (text, RGB color of 0..255).
    """
    patches = [
        Patch(facecolor=np.asarray(color) / 255, edgecolor="black", linewidth=0.6, label=text)
        for text, color in entries
    ]
    lines = -(-len(entries) // 6)
    columns = -(-len(entries) // lines)
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=9)


def encode(figure, kind):
    """The bytes of a file with the figure.

    A PNG that would be large gets a palette of 256 colors, which halves it and looks the same.

    Args:
      figure: `matplotlib.figure.Figure`.
      kind: "svg" or "png".
    """
    encoded = plots.encode(figure, kind, DPI)
    if kind == "svg":
        return encoded
    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    small = _as_png(picture)
    if len(small) <= LARGE_FILE:
        return small
    return _as_png(picture.quantize(256, dither=Image.Dither.NONE))


def _as_png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
