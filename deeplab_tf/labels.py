"""What label values mean: class names and colors, the void value, and the mean image color."""

import difflib
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file
from deeplab_tf.untrusted import parse_json

VOID = 255
"""The value of pixels of labels that have no class: no loss and no score counts them."""

VOID_COLOR = (224, 224, 192)

MEAN_RGB = (122.675, 116.669, 104.008)
"""Mean color of the ImageNet images, RGB 0..255.

The published systems subtract it, so padding with this color is padding with zeros.
"""

# Level 0..255 that channels after red, green and blue are centered on.
MEAN_FURTHER = 127.5


def mean_color(channels):
    """The color that images are padded with, unless their network needs another one.

    Args:
      channels: of the images, at least 3: red, green, blue and further ones, such as depth.

    Returns:
      Tuple of `channels` levels: `MEAN_RGB`, then `MEAN_FURTHER` for each further channel.
    """
    return *MEAN_RGB, *[MEAN_FURTHER] * (channels - 3)


# The remedy for a single class. Every pixel gets one of the classes, so a network with one class is
# always right and learns nothing.
ADD_BACKGROUND = "name a background too: 2 classes, index 0 for the background and 1 for the class"


def voc_colors(n):
    """The first `n` colors of the PASCAL VOC palette.

    Bits 0, 3, 6 of the class index are the highest bits of red, bits 1, 4, 7 those of green,
    bits 2, 5 those of blue. So all 256 colors differ, and color 255 is that of void.

    Args:
      n: number of colors, 0..256.

    Returns:
      (n, 3) uint8 array of RGB colors.
    """
    index = np.arange(n)[:, None]
    colors = np.zeros((n, 3), np.int64)
    for place in range(8):
        bits = (index >> (3 * place + np.arange(3))) & 1
        colors |= bits << (7 - place)
    return colors.astype(np.uint8)


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set, in the order of their indices.

    Args:
      names: the class names, one per index, at least two, all different.
      colors: one RGB color (r, g, b) per class, each value 0..255.
      void_color: the RGB color of void, label value 255.

    Raises:
      InputError: if names are missing, repeated or too many, or the colors do not match them.

    Example:
      >>> LabelSet.generic(3).names
      ('class 0', 'class 1', 'class 2')
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    void_color: tuple[int, int, int] = VOID_COLOR

    def __post_init__(self):
        if isinstance(self.names, str) or not all(isinstance(name, str) for name in self.names):
            raise InputError(f"class names {self.names!r}; give a list of texts")
        # Lists become tuples, so that sets of equal classes are equal and hashable.
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "colors", tuple(_rgb(color) for color in self.colors))
        object.__setattr__(self, "void_color", _rgb(self.void_color))
        if len(self.names) == 1:
            raise InputError(f"{self.names[0]!r} is the only class; {ADD_BACKGROUND}")
        if not 2 <= len(self.names) <= VOID:
            raise InputError(f"{len(self.names)} class names; give between 2 and {VOID}")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise InputError(f"class name {repeated[0]!r} is given twice; names must differ")
        if len(self.colors) != len(self.names):
            raise InputError(
                f"{len(self.colors)} colors for {len(self.names)} classes; give one for each"
            )

    @property
    def num_classes(self):
        """Number of classes, void not counted."""
        return len(self.names)

    def color_table(self):
        """Color of every possible label value, (256, 3) uint8.

        Rows after the classes hold the VOC palette, row 255 the void color.
        """
        table = voc_colors(256)
        table[VOID] = self.void_color
        table[: self.num_classes] = self.colors
        return table

    def index_of(self, name):
        """The index of a class.

        Args:
          name: of the class.

        Raises:
          InputError: if there is none.
        """
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, 1)
            advice = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(f"no class {name!r}{advice}; the classes are {', '.join(self.names)}")
        return self.names.index(name)

    def save(self, path):
        """Write names, colors and the void value to the file `path` as JSON."""
        void = {"value": VOID, "color": self.void_color}
        content = {"names": self.names, "colors": self.colors, "void": void}
        write_file(path, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path):
        """Read a file that `save` wrote.

        Raises:
          InputError: if the file is missing or holds something else.
        """
        try:
            content = parse_json(Path(path).read_text(encoding="utf-8"))
            void = content.get("void", {"color": VOID_COLOR})  # absent in old files
            return cls(content["names"], content["colors"], void["color"])
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; training writes it next to a model") from None
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not a label set ({error}); a label set is JSON with 'names' and 'colors'"
            ) from None

    @classmethod
    def generic(cls, num_classes):
        """Classes named "class 0", "class 1", ... in the colors of the VOC palette."""
        return cls.in_voc_colors(tuple(f"class {index}" for index in range(num_classes)))

    @classmethod
    def in_voc_colors(cls, names):
        """Classes of these names in the colors of the VOC palette."""
        return cls(names, voc_colors(len(names)).tolist())


@dataclass(frozen=True)
class LabelEncoding:
    """What the values and colors in the label files of a data set mean.

    Args:
      classes: for each value of the files, from 0, its class index, or `VOID` if it is ignored;
        the value 255 is always void.
      colors: an RGB color for each value, to read RGB labels; None if labels hold only values.

    Example:
      >>> LabelEncoding((VOID, 0, 1)).to_classes(np.uint8([[0, 1, 2, 255]]))
      array([[255,   0,   1, 255]], dtype=uint8)
    """

    classes: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.colors is not None:
            object.__setattr__(self, "colors", tuple(_rgb(color) for color in self.colors))

    @classmethod
    def plain(cls, num_classes):
        """The encoding of files that hold class indices."""
        return cls(tuple(range(num_classes)))

    @property
    def num_values(self):
        """Number of values that files may hold, 255 not counted."""
        return len(self.classes)

    def to_classes(self, values):
        """Turn the values of a file, uint8 of any shape, into class indices, 255 = void."""
        is_plain = self.classes == tuple(range(self.num_values))
        return values if is_plain else self._table[values]

    @functools.cached_property
    def _table(self):
        table = np.full(256, VOID, np.uint8)
        table[: self.num_values] = self.classes
        return table


def _rgb(color):
    values = tuple(color)
    is_rgb = len(values) == 3 and all(
        isinstance(value, int | np.integer) and 0 <= value <= 255 for value in values
    )
    if not is_rgb:
        raise InputError(f"color {color!r}; a color is three whole numbers 0..255")
    return tuple(int(value) for value in values)
