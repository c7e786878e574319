"""The examples of a data set: where to read the bytes of an image and of its label.

An example is either a pair of files (`Example`), or one record of a TFRecord file
(`RecordExample`), as `deeplab-tf prepare-data` writes them. Both have the same methods, and so have
the `DepthExample` of inputs.py, which adds depth, and the `DepthTarget` of depth_targets.py.
"""

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.errors import InputError

# A record is preceded by its length (8 bytes) and the length's checksum (4 bytes), and followed by
# its own checksum (4 bytes).
RECORD_HEADER, RECORD_FOOTER = 12, 4
PREPARE_AGAIN = "prepare the data again with --overwrite"  # the remedy for damaged records


class Example(NamedTuple):
    """An image and its label in two files.

    Args:
      name: its name in the list, for messages and output files.
      image: path of the image; see `load_image`.
      label: path of the label; see `load_label`; "" if there is none.
    """

    name: str
    image: str
    label: str

    def read(self):
        """Read the contents of the image and of the label, bytes; b"" if there is no label.

        Raises:
          InputError: naming the file that cannot be read.
        """
        return read_file(self.image), self.read_label()

    def read_label(self):
        """Read the contents of the label alone, bytes; b"" if there is none.

        Raises:
          InputError: naming the file that cannot be read.
        """
        return read_file(self.label) if self.label else b""


class RecordExample(NamedTuple):
    """An image and its label in a TFRecord file.

    Args:
      name: its name in the list, for messages and output files.
      path: the TFRecord file.
      offset: where the record's data starts in the file, in bytes.
      size: the length of the record's data, in bytes.
      label_key: name of the record's feature with the label.
    """

    name: str
    path: str
    offset: int
    size: int
    label_key: str = "label"

    @property
    def image(self):
        """The name of the image in messages."""
        return f"{self.path}, image of {self.name!r}"

    @property
    def label(self):
        """The name of the label in messages."""
        return f"{self.path}, {self.label_key} of {self.name!r}"

    def read(self, keys=None):
        """Read the contents of the image and of the label, bytes.

        Args:
          keys: names of the features of the record; "depth" is another one, if there is depth.
            None: those of the image and the label.

        Raises:
          InputError: naming the file, if it cannot be read or holds something else.
        """
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                record = tf.train.Example.FromString(file.read(self.size)).features.feature
            keys = keys or ("image", self.label_key)
            return tuple(record[key].bytes_list.value[0] for key in keys)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; check the path") from None
        except Exception:  # protobuf's errors have no class that all its versions share
            raise InputError(
                f"{self.path}: record of {self.name!r} is damaged; {PREPARE_AGAIN}"
            ) from None

    def read_label(self):
        """Read the contents of the label alone, bytes; errors as of `read`."""
        return self.read((self.label_key,))[0]


def read_file(path):
    """Read the contents of a file as bytes.

    Raises:
      InputError: naming the file that cannot be read.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from None


def evenly_spaced(items, count=None):
    """Choose `count` items spread evenly over a list, since neighbors in a video look alike.

    Args:
      items: list.
      count: how many to choose; None, 0 or more than there are: all.

    Returns:
      A list, in the order of `items`.

    Example:
      >>> evenly_spaced("abcdef", 3)
      ['a', 'c', 'e']
    """
    if not count or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
