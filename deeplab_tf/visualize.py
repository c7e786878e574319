"""Pictures of label maps: colors, overlays, and panels of several pictures."""

import cv2
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, voc_colors

# Names of a class for the pixels of no other class; it may be black in overlays.
BACKGROUND_NAMES = ("background", "bg", "unlabeled", "unlabelled", "void")

_LEGEND_WIDTH = 320  # smallest width of an overlay's legend, in pixels
_LEGEND_SIDE = 800  # longer side in pixels above which an image gets a larger legend
_GAP = 6  # pixels between the cells of a panel
_TEXT_HEIGHT = 22  # pixels of a line of text
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FONT, _FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


def colorize(label, color_table):
    """Color a label map.

    Args:
      label: (H, W) uint8 class indices, 255 = void.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: if the label has another shape or dtype.
    """
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise InputError(f"label is {label.dtype} {label.shape}; give uint8 (H, W)")
    return np.take(color_table, label, axis=0)


def overlay(image, label, color_table, alpha=0.6):
    """Tint an image with the colors of its labels; void pixels stay as they are.

    Args:
      image: (H, W, 3) uint8 RGB.
      label: (H, W) uint8 class indices, 255 = void.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.
      alpha: opacity of the colors, 0 (only the image) to 1 (only the colors).

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: if the label or the image has another shape or dtype.
    """
    colors = colorize(label, color_table)
    if np.shape(image) != colors.shape:
        raise InputError(
            f"image is {np.shape(image)} and label {np.shape(label)}; give (H, W, 3) and (H, W)"
        )
    tinted = cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)
    return np.where((label == VOID)[..., None], image, tinted)


def overlay_with_legend(image, label, label_set, alpha=0.6):
    """`overlay`, and below it the names and colors of the classes that occur in the label.

    The legend grows with the image, so that it can be read when a large picture is reduced to the
    screen; a picture narrower than its legend is widened with white.

    Args:
      image: (H, W, 3) uint8 RGB.
      label: (H, W) uint8 class indices, 255 = void.
      label_set: `LabelSet` of the classes, shown in `overlay_colors`.
      alpha: opacity of the colors, 0 (only the image) to 1 (only the colors).

    Returns:
      (more than H, W or more, 3) uint8 RGB; the overlay is at the top left.

    Raises:
      InputError: if the label or the image has another shape or dtype.
    """
    colors = overlay_colors(label_set)
    tinted = overlay(image, label, colors, alpha)
    counts = np.bincount(label.ravel(), minlength=256)
    classes = np.flatnonzero(counts[: label_set.num_classes])
    entries = [(label_set.names[index], colors[index].tolist()) for index in classes]
    height, width = label.shape
    size = max(1, max(height, width) / _LEGEND_SIDE)
    legend = _legend(entries, max(width, _LEGEND_WIDTH), size)
    return np.concatenate([_widened(tinted, legend.shape[1]), legend])


def overlay_colors(label_set):
    """Colors of the classes for overlays, in which black would look like a shadow.

    Args:
      label_set: `LabelSet` of the classes.

    Returns:
      (256, 3) uint8: `label_set.color_table()`, but a black class gets a color of the VOC palette
      that differs most from those of the other classes, unless its name is in
      `BACKGROUND_NAMES`.
    """
    table, palette = label_set.color_table(), voc_colors(VOID)
    for index, name in enumerate(label_set.names):
        if not is_background(name) and not table[index].any():
            used = np.concatenate([table[: label_set.num_classes], table[VOID:]]).astype(int)
            distances = np.square(palette[:, None] - used).sum(axis=2)
            table[index] = palette[distances.min(axis=1).argmax()]
    return table


def is_background(name):
    """Whether a class is for the pixels of no other class, by its name.

    Args:
      name: of the class; see `BACKGROUND_NAMES`.

    Returns:
      bool.

    Example:
      >>> is_background("_Background_"), is_background("sky")
      (True, False)
    """
    return name.strip(" _").lower() in BACKGROUND_NAMES


def colorize_probabilities(probabilities, color_table):
    """Color every pixel by its most probable class, paler the less probable it is.

    Args:
      probabilities: (H, W, C) floats, 0..1.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.

    Returns:
      (H, W, 3) uint8 RGB: the class's color with opacity equal to its probability, on white.

    Raises:
      InputError: if the probabilities have another shape or dtype.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or probabilities.dtype.kind != "f":
        raise InputError(
            f"probabilities are {probabilities.dtype} {probabilities.shape}; give floats (H, W, C)"
        )
    color = np.take(color_table, probabilities.argmax(axis=2), axis=0)
    share = probabilities.max(axis=2)[..., None]
    return np.rint(_WHITE + share * (color - np.float32(_WHITE))).astype(np.uint8)


def captioned(picture, caption):
    """Put a line of text above a picture, which is widened with white if the text is wider.

    Args:
      picture: (H, W, 3) uint8 RGB.
      caption: the text.

    Returns:
      (H + 22, W or more, 3) uint8 RGB.
    """
    band = _blank(_TEXT_HEIGHT, max(picture.shape[1], _text_width(caption)))
    _write(band, caption, 0, _TEXT_HEIGHT)
    return np.concatenate([band, _widened(picture, band.shape[1])])


def panel(rows, captions=(), legend=None):
    """Arrange several pictures in rows and columns on white.

    Args:
      rows: list of rows, each a list of (H, W, 3) uint8 RGB pictures of any sizes, one for each
        column.
      captions: one text above each column; none by default.
      legend: `LabelSet` whose colors and names are listed at the bottom; none by default.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: if there is no picture, or the rows differ in length.
    """
    columns = len(rows[0]) if rows else 0
    if not columns or any(len(row) != columns for row in rows):
        raise InputError("a panel needs rows with the same number of pictures, at least one each")
    widths = [max(row[column].shape[1] for row in rows) for column in range(columns)]
    width = sum(widths) + _GAP * (columns + 1)
    bands = [_row(row, widths, width) for row in rows]
    if captions:
        bands.insert(0, _captions(captions, widths, width))
    if legend is not None:
        entries = list(zip(legend.names, legend.colors, strict=True))
        bands.append(_legend(entries, width)[:, :width])
    return np.concatenate([*bands, _blank(_GAP, width)])


def encode_picture(picture):
    """Encode a picture as a PNG file.

    Args:
      picture: (H, W, 3) uint8, RGB.

    Returns:
      bytes of the file.
    """
    return cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


def _row(row, widths, width):
    height = max(picture.shape[0] for picture in row)
    band = _blank(height + _GAP, width)
    for picture, left in zip(row, _lefts(widths), strict=True):
        band[_GAP : _GAP + picture.shape[0], left : left + picture.shape[1]] = picture
    return band


def _captions(captions, widths, width):
    band = _blank(_TEXT_HEIGHT, width)
    for caption, left in zip(captions, _lefts(widths), strict=True):
        _write(band, caption, left, _TEXT_HEIGHT)
    return band


def _legend(entries, width, size=1):
    """Names and colors in as many lines as are needed.

    Args:
      entries: list of (name, (r, g, b)).
      width: of the picture in pixels; it is wider if a name needs it.
      size: factor on the size of text and squares.

    Returns:
      (H, width or more, 3) uint8 RGB.
    """
    gap, line_height = round(_GAP * size), round(_TEXT_HEIGHT * size)
    # Every entry is as wide as the longest name; a line has as many entries as fit.
    text_width = max((_text_width(name, size) for name, _ in entries), default=0)
    cell = text_width + line_height + 2 * gap
    per_line = max((width - gap) // cell, 1)
    lines = -(-len(entries) // per_line)
    band = _blank(lines * line_height + gap, max(width, gap + cell))
    margin = round(4 * size)
    for index, (name, color) in enumerate(entries):
        left, bottom = gap + index % per_line * cell, gap + (index // per_line + 1) * line_height
        square = line_height - round(6 * size)
        corners = (left, bottom - line_height + margin), (left + square, bottom - margin)
        cv2.rectangle(band, *corners, color, cv2.FILLED)
        cv2.rectangle(band, *corners, _BLACK, round(size))
        _write(band, name, left + line_height, bottom, size)
    return band


def _widened(picture, width):
    """The picture with white on its right, `width` pixels in all."""
    widened = _blank(picture.shape[0], width)
    widened[:, : picture.shape[1]] = picture
    return widened


def _lefts(widths):
    return [_GAP * (i + 1) + sum(widths[:i]) for i in range(len(widths))]


def _blank(height, width):
    return np.full((height, width, 3), _WHITE, np.uint8)


def _write(band, text, left, bottom, size=1):
    position, thickness = (left, bottom - round(7 * size)), round(size)
    font_size = _FONT_SIZE * size
    cv2.putText(band, text, position, _FONT, font_size, _BLACK, thickness, cv2.LINE_AA)


def _text_width(text, size=1):
    return cv2.getTextSize(text, _FONT, _FONT_SIZE * size, round(size))[0][0]
