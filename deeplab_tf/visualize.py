"""Pictures of label maps: colours, overlays, and panels that set several side by side."""

import cv2
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

GAP = 6  # pixels between the cells of a panel
TEXT_HEIGHT = 22  # pixels of a line of text
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def colorize(label, color_table):
    """The colours of a label map.

    Args:
      label: (H, W) uint8 class indices, 255 = void.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise InputError(f"label is {label.dtype} {label.shape}; give uint8 (H, W)")
    return np.take(color_table, label, axis=0)


def overlay(image, label, color_table, alpha=0.6):
    """An image tinted with the colours of its labels; void pixels stay as they are.

    Args:
      image: (H, W, 3) uint8 RGB.
      label: (H, W) uint8 class indices, 255 = void.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.
      alpha: share of the colour, 0 (image alone) to 1 (colours alone).

    Returns:
      (H, W, 3) uint8 RGB.
    """
    colors = colorize(label, color_table)
    if np.shape(image) != colors.shape:
        raise InputError(
            f"image is {np.shape(image)} and label {np.shape(label)}; give (H, W, 3) and (H, W)"
        )
    tinted = cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)
    return np.where((label == VOID)[..., None], image, tinted)


def colorize_probabilities(probabilities, color_table):
    """The colour of the most probable class at every pixel, paler the less probable it is.

    Args:
      probabilities: (H, W, C) floating, from 0 to 1.
      color_table: (256, 3) uint8, as `LabelSet.color_table()` gives it.

    Returns:
      (H, W, 3) uint8 RGB; a class of probability p has the share p of its colour, on white.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or probabilities.dtype.kind != "f":
        raise InputError(
            f"probabilities are {probabilities.dtype} {probabilities.shape}; give floats (H, W, C)"
        )
    color = np.take(color_table, probabilities.argmax(axis=2), axis=0)
    share = probabilities.max(axis=2)[..., None]
    return np.rint(WHITE + share * (color - np.float32(WHITE))).astype(np.uint8)


def captioned(picture, caption):
    """A picture with a line of text above it, widened with white where the text is wider.

    Args:
      picture: (H, W, 3) uint8 RGB.
      caption: the text.

    Returns:
      (H + 22, W or more, 3) uint8 RGB.
    """
    band = _blank(TEXT_HEIGHT, max(picture.shape[1], _text_width(caption)))
    _write(band, caption, 0, TEXT_HEIGHT)
    return np.concatenate([band, _widened(picture, band.shape[1])])


def panel(rows, captions=(), legend=None):
    """One picture of several, in rows and columns, on white.

    Args:
      rows: list of rows, each a list of (H, W, 3) uint8 RGB pictures of any sizes; every row
        has as many pictures as there are columns.
      captions: one text above each column; none by default.
      legend: `LabelSet` whose colours and names are listed at the bottom; none by default.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: where there is no picture, or the rows differ in length.
    """
    columns = len(rows[0]) if rows else 0
    if not columns or any(len(row) != columns for row in rows):
        raise InputError("a panel needs rows of equally many pictures, at least one")
    widths = [max(row[column].shape[1] for row in rows) for column in range(columns)]
    width = sum(widths) + GAP * (columns + 1)
    bands = [_row(row, widths, width) for row in rows]
    if captions:
        bands.insert(0, _captions(captions, widths, width))
    if legend is not None:
        bands.append(_legend(legend, width))
    return np.concatenate([*bands, _blank(GAP, width)])


def encode_picture(picture):
    """The bytes of a PNG file of a picture, (H, W, 3) uint8 RGB."""
    return cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


def _widened(picture, width):
    wide = _blank(picture.shape[0], width)
    wide[:, : picture.shape[1]] = picture
    return wide


def _row(row, widths, width):
    height = max(picture.shape[0] for picture in row)
    band = _blank(height + GAP, width)
    for picture, left in zip(row, _lefts(widths), strict=True):
        band[GAP : GAP + picture.shape[0], left : left + picture.shape[1]] = picture
    return band


def _captions(captions, widths, width):
    band = _blank(TEXT_HEIGHT, width)
    for caption, left in zip(captions, _lefts(widths), strict=True):
        _write(band, caption, left, TEXT_HEIGHT)
    return band


def _legend(label_set, width):
    # Cells as wide as the longest name, as many to a line as fit.
    text_width = max(_text_width(name) for name in label_set.names)
    cell = text_width + TEXT_HEIGHT + 2 * GAP
    to_line = max((width - GAP) // cell, 1)
    lines = -(-label_set.num_classes // to_line)
    band = _blank(lines * TEXT_HEIGHT + GAP, width)
    for index, (name, color) in enumerate(zip(label_set.names, label_set.colors, strict=True)):
        left, line = GAP + index % to_line * cell, index // to_line
        bottom = GAP + (line + 1) * TEXT_HEIGHT
        corners = (left, bottom - TEXT_HEIGHT + 4), (left + TEXT_HEIGHT - 6, bottom - 4)
        cv2.rectangle(band, *corners, color, cv2.FILLED)
        cv2.rectangle(band, *corners, BLACK, 1)
        _write(band, name, left + TEXT_HEIGHT, bottom)
    return band


def _lefts(widths):
    return [GAP * (i + 1) + sum(widths[:i]) for i in range(len(widths))]


def _blank(height, width):
    return np.full((height, width, 3), WHITE, np.uint8)


def _write(band, text, left, bottom):
    cv2.putText(band, text, (left, bottom - 7), _FONT, _SIZE, BLACK, 1, cv2.LINE_AA)


def _text_width(text):
    return cv2.getTextSize(text, _FONT, _SIZE, 1)[0][0]


_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
