"""What a score sees of the image: fields of view, measured by gradients of the network itself."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from matplotlib.colors import PowerNorm
from matplotlib.lines import Line2D

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.figures.canvas import AMOUNT, new_figure, outline, show
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.heads import HEADS

COLUMNS = 4  # of the figure
PUBLISHED_CELL = 32  # pixels that the papers count for a cell of VGG-16's last pooling

SQUARE = 8  # side of the squares whose mean gradient is drawn, in pixels

_NAMES = {
    "4x4": "DeepLab-4x4",
    "7x7": "DeepLab-7x7",
    "4x4_fov": "DeepLab-4x4-FOV",
    "large_fov": "LargeFOV",
    "aspp_s": "ASPP-S",
    "aspp_l": "ASPP-L",
}

_FC_CHANNELS = 64  # the field of view does not depend on them, but the time does


@dataclass(frozen=True)
class Field:
    """What one position of the scores sees.

    Args:
      name: of the network or branch, for a title.
      gradient: (S, S) float64, the sum over the color channels of the absolute gradient of a score
        in the middle of the map by each pixel of an image of S x S pixels.
      published: side of the field of view as the papers count it, in pixels; None: not published.
    """

    name: str
    gradient: np.ndarray
    published: int | None = None

    @property
    def box(self):
        """Of the pixels with a gradient: (first row, last row, first column, last column)."""
        rows, columns = (np.flatnonzero(self.gradient.any(axis=axis)) for axis in (1, 0))
        return tuple(int(value) for value in (rows[0], rows[-1], columns[0], columns[-1]))

    @property
    def size(self):
        """Height and width of `box` in pixels."""
        top, bottom, left, right = self.box
        return bottom - top + 1, right - left + 1

    @property
    def is_cut(self):
        """Whether the field reaches a border of the image, so that it may be larger."""
        last = len(self.gradient) - 1
        return 0 in self.box[::2] or last in self.box[1::2]


def published_field(kernel_size, rate):
    """Side of the field of view as the papers count it, (k - 1) r 8 + 32 pixels.

    It is the extent of the first fully connected layer's kernel on the image, at 8 pixels per cell
    and 32 pixels for the last cell; what the convolutions below add is not counted.

    Example:
      >>> published_field(7, 4), published_field(4, 4), published_field(3, 12)
      (224, 128, 224)
    """
    return (kernel_size - 1) * rate * 8 + PUBLISHED_CELL


def measure_field(model, side, seed=0):
    """The gradient of one score of a network by the pixels of an image of noise.

    Args:
      model: Keras model from images (B, H, W, C), values 0..255, to scores (B, h, w, classes); or
        to a list of such scores, each of which is measured.
      side: height and width of the image in pixels.
      seed: of the noise.

    Returns:
      List of (side, side) float64, one for each of the scores: the absolute gradient of the highest
      class score at the middle position, summed over the color channels.

    Raises:
      InputError: if a score depends on no pixel.
    """
    channels = model.input_shape[-1]
    image = tf.random.stateless_uniform((1, side, side, channels), (seed, 0), 0, 255)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        scores = model(image, training=False)
        middles = [_middle(one) for one in (scores if isinstance(scores, list) else [scores])]
    gradients = [tape.gradient(middle, image) for middle in middles]
    sums = [
        np.abs(found.numpy()[0].astype(np.float64)).sum(axis=-1)
        for found in gradients
        if found is not None
    ]
    if len(sums) < len(middles) or not all(found.any() for found in sums):
        raise InputError(f"model {model.name!r}: no pixel of an image of noise changes its scores")
    return sums


def _middle(scores):
    """The highest class score at the middle position of scores (1, h, w, classes)."""
    height, width = scores.shape[1:3]
    return tf.reduce_max(scores[0, (height - 1) // 2, (width - 1) // 2])


def head_fields(head, side, backbone="vgg16"):
    """The fields of view of a head, one for each of its branches, with random weights.

    Args:
      head: name of a head, see `deeplab_tf.head_names`.
      side: height and width of the image in pixels.
      backbone: name of the network below the head.

    Returns:
      List of `Field`.

    Raises:
      InputError: for an unknown name, or a head that the backbone cannot have.
    """
    channels = _FC_CHANNELS if backbone == "vgg16" else None
    model = build_deeplab(backbone, head, 2, weights=None, fc_channels=channels)
    shape = HEADS[head]
    branches = [model.get_layer(f"fc8{shape.suffix(rate)}").output for rate in shape.rates]
    name, size = _NAMES.get(head, head), shape.kernel_size
    return [
        Field(f"{name}, rate {rate}", gradient, published_field(size, rate))
        for rate, gradient in zip(
            shape.rates,
            measure_field(keras.Model(model.input, branches), side),
            strict=True,
        )
    ]


def draw_fields(fields):
    """Draw fields of view beside each other, at the same scale.

    Args:
      fields: list of `Field`, of images of the same size.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.
    """
    columns = min(COLUMNS, len(fields))
    rows = -(-len(fields) // columns)
    figure = new_figure(8, 2.75 * rows + 0.9)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(fields) :]:
        axes.axis("off")
    for axes, field in zip(cells, fields, strict=False):
        image = _draw(axes, field)
    bar = figure.colorbar(image, ax=cells, location="bottom", shrink=0.5, aspect=40)
    bar.set_label("influence of the pixels on one score (gradient; 1: the largest)", fontsize=9)
    boxes = [Line2D([], [], color="black", label="all pixels that count")]
    if any(field.published for field in fields):
        boxes += [Line2D([], [], color="black", linestyle="--", label="as the papers count it")]
    figure.legend(handles=boxes, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _draw(axes, field):
    cells = len(field.gradient) // SQUARE
    means = field.gradient[: cells * SQUARE, : cells * SQUARE]
    means = means.reshape(cells, SQUARE, cells, SQUARE).mean(axis=(1, 3))
    # The square root makes small influences visible.
    look = {"cmap": AMOUNT, "norm": PowerNorm(0.5, 0, 1)}
    extent = (0, cells * SQUARE, cells * SQUARE, 0)
    image = show(axes, means / means.max(), field.name, extent=extent, **look)
    top, _, left, _ = field.box
    height, width = field.size
    outline(axes, left, top, width, height, edgecolor="white", linewidth=1.2)
    size = f"{'at least ' if field.is_cut else ''}{width}"
    if field.published:
        side = field.published
        top, left = top + (height - side) / 2, left + (width - side) / 2
        outline(axes, left, top, side, side, edgecolor="white", linewidth=1.2, linestyle="--")
        size = f"{size}; papers: {side}"
    axes.set_xlabel(f"pixels: {size}", fontsize=9)
    return image


def field_table(fields):
    """The sizes of fields of view as text, a line for each.

    Args:
      fields: list of `Field`.
    """
    width = max(len("field of view"), *(len(field.name) for field in fields))
    lines = [
        "field of view".ljust(width) + "papers count".rjust(14) + "measured (pixels)".rjust(26)
    ]
    for field in fields:
        published = str(field.published or "-")
        height, wide = field.size
        measured = f"{'at least ' if field.is_cut else ''}{wide}x{height}"
        lines.append(field.name.ljust(width) + published.rjust(14) + measured.rjust(26))
    return "\n".join(lines)
