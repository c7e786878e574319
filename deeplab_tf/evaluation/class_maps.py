"""Pictures of the probability of one class, with a color bar."""

import cv2
import numpy as np

from deeplab_tf.data.shrink import shrink
from deeplab_tf.visualize import captioned, panel

SIDE = 800  # longer side of a map in pixels

_BAR_WIDTH = 14  # pixels
_LEAST_HEIGHT = 90  # pixels of the bar, for its numbers
_MARGIN = 10  # white pixels above and below the bar, half the height of a number
_NUMBERS = (1.0, 0.75, 0.5, 0.25, 0.0)
_FONT, _FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


def class_map_picture(name, planes):
    """Draw the probability of a class at every pixel, dark blue for 0 to yellow for 1.

    The colors are those of the color map viridis, which people with any color vision can read, and
    which gets lighter from 0 to 1 in print, too.

    Args:
      name: of the class.
      planes: dict from a caption, such as "network", to (H, W) floats, 0..1; drawn side by side,
        at most 800 pixels each on the longer side.

    Returns:
      (h, w, 3) uint8 RGB.
    """
    maps = [heat_map(shrink(plane, SIDE)) for plane in planes.values()]
    bar = color_bar(max(_LEAST_HEIGHT, maps[0].shape[0]))
    return captioned(panel([[*maps, bar]], [*planes, ""]), f"probability of {name}")


def heat_map(plane):
    """Colors of viridis for numbers, (H, W) floats 0..1, as (H, W, 3) uint8 RGB."""
    levels = np.rint(255 * np.clip(plane, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def color_bar(height):
    """The scale of `heat_map`, 1 at the top, (height, w, 3) uint8 RGB; the ends are margins."""
    length = height - 2 * _MARGIN
    bar = np.full((height, _BAR_WIDTH + 40, 3), 255, np.uint8)
    shades = np.linspace(1, 0, length)[:, None].repeat(_BAR_WIDTH, axis=1)
    bar[_MARGIN : _MARGIN + length, :_BAR_WIDTH] = heat_map(shades)
    for number in _NUMBERS:
        row = _MARGIN + round((1 - number) * (length - 1))
        bar[row, _BAR_WIDTH : _BAR_WIDTH + 4] = 0
        place = _BAR_WIDTH + 7, row + 4
        cv2.putText(bar, f"{number:g}", place, _FONT, _FONT_SIZE, (0, 0, 0), 1, cv2.LINE_AA)
    return bar
