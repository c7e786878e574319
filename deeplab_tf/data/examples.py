"""The examples of a data set: where the bytes of an image and of its label lie.

An example is either a pair of files (`Example`), or one record of a TFRecord file
(`RecordExample`), as `tools/prepare_data.py` writes them. Both are read the same way, one by one
with `read`, or by their index inside tf.data with what `reader` gives.
"""

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.errors import InputError

FEATURES = {key: tf.io.FixedLenFeature((), tf.string) for key in ("name", "image", "label")}

# A record lies between its length (8 bytes) with checksum (4) and its own checksum (4).
RECORD_HEADER, RECORD_FOOTER = 12, 4


class Example(NamedTuple):
    """One image of a data set and its truth, in files.

    Args:
      name: its name in the list, for messages and output files.
      image: path of the JPEG or PNG image.
      label: path of the label PNG; "" where there is none.
    """

    name: str
    image: str
    label: str

    def read(self):
        """The contents of the image and of the label, bytes; the label's b"" where there is none.

        Raises:
          InputError: naming the file that cannot be read.
        """
        return read_file(self.image), read_file(self.label) if self.label else b""


class RecordExample(NamedTuple):
    """One image of a data set and its truth, in a TFRecord file.

    Args:
      name: its name in the list, for messages and output files.
      path: the TFRecord file.
      offset: where in it the record's data starts, in bytes.
      size: the length of the record's data, in bytes.
    """

    name: str
    path: str
    offset: int
    size: int

    @property
    def image(self):
        """What messages call the image."""
        return f"{self.path}, image of {self.name!r}"

    @property
    def label(self):
        """What messages call the label."""
        return f"{self.path}, label of {self.name!r}"

    def read(self):
        """The contents of the image and of the label, bytes.

        Raises:
          InputError: naming the file, where it cannot be read or holds something else.
        """
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                record = tf.train.Example.FromString(file.read(self.size)).features.feature
            return tuple(record[key].bytes_list.value[0] for key in ("image", "label"))
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; check the path") from None
        except Exception:  # protobuf's own errors have no common class in all its versions
            raise InputError(
                f"{self.path}: record of {self.name!r} is damaged; prepare the data again"
            ) from None


def reader(examples):
    """A function that reads one example by its index, in TensorFlow ops.

    Args:
      examples: a list of `Example`, or one of `RecordExample`; not empty.

    Returns:
      A function from a scalar int64 index tensor to (name, image contents, label contents),
      scalar string tensors; for use inside tf.data.

    Raises:
      InputError: where there are no examples, or some of each kind.
    """
    kinds = {type(example) for example in examples}
    if len(kinds) != 1:
        raise InputError(f"{len(examples)} examples of {len(kinds)} kinds; give some of one kind")
    columns = [tf.constant(list(column)) for column in zip(*examples, strict=True)]
    return _file_reader(*columns) if kinds == {Example} else _record_reader(*columns)


def _file_reader(names, images, labels):
    def read(index):
        paths = tf.gather(images, index), tf.gather(labels, index)
        return tf.gather(names, index), *map(tf.io.read_file, paths)

    return read


def _record_reader(names, paths, offsets, sizes):
    offsets, sizes = tf.cast(offsets, tf.int64), tf.cast(sizes, tf.int64)
    footers = _file_sizes(paths.numpy()) - offsets - sizes

    def read(index):
        path, *extent = (tf.gather(part, index) for part in (paths, offsets, footers, sizes))
        features = tf.io.parse_single_example(_read_range(path, *extent), FEATURES)
        return tf.gather(names, index), features["image"], features["label"]

    return read


def _read_range(path, header, footer, size):
    # The one op of TensorFlow that reads a part of a file is this data set, here of one element.
    part = tf.data.FixedLengthRecordDataset(path, size, header, footer)
    return part.get_single_element()


def _file_sizes(paths):
    sizes = {path: Path(path.decode()).stat().st_size for path in set(paths.tolist())}
    return tf.constant([sizes[path] for path in paths.tolist()], tf.int64)


def read_file(path):
    """The contents of a file, bytes.

    Raises:
      InputError: naming the file that cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from None
