"""Reads the contents of images on a worker, from files and from records."""

import threading

import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.scale.session import import_pyarrow
from deeplab_tf.scale.storage import open_place, read_place

# What the columns of Parquet files and the features of TFRecord files are usually called.
IMAGE_COLUMNS = ("image", "image/encoded", "image_bytes", "bytes")
NAME_COLUMNS = ("name", "image/filename", "file_name", "filename", "path", "__key__")


class Reader:
    """Reads one image after another, by several threads.

    Args:
      image_column: name of the column or feature that holds the bytes of an image file, or in
        Parquet a struct with a field "bytes"; None: one of `IMAGE_COLUMNS`.
      name_column: name of the column or feature with the image's name; None: one of
        `NAME_COLUMNS` if there is one.
    """

    def __init__(self, image_column=None, name_column=None):
        self._image = (image_column,) if image_column else IMAGE_COLUMNS
        self._name = (name_column,) if name_column else NAME_COLUMNS
        self._lock, self._key, self._rows = threading.Lock(), None, None

    def read(self, item):
        """The name of an `Item` and the bytes of its image.

        Raises:
          InputError: naming the file, if it cannot be read or holds something else.
        """
        if item.record is None:
            return item.name, read_place(item.place)
        kind, *where = item.record
        found = self._tfrecord(item, *where) if kind == "tfrecord" else self._parquet(item, *where)
        image = next((found[name] for name in self._image if found.get(name)), None)
        if isinstance(image, dict):
            image = image.get("bytes")
        if not isinstance(image, bytes):
            raise InputError(f"{item.source}: no image in {' or '.join(self._image)}; replace it")
        name = next((found[name] for name in self._name if found.get(name)), item.source)
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name), image

    def check(self, item):
        """Raise `InputError` unless the file of an `Item` has a column or feature with images."""
        kind, *where = item.record
        if kind == "parquet":
            parquet = import_pyarrow("pyarrow.parquet")
            filesystem, path = open_place(item.place)
            names = parquet.read_schema(path, filesystem=filesystem).names
        else:
            names = list(self._tfrecord(item, *where))
        if not any(name in names for name in self._image):
            raise InputError(
                f"{item.place}: no column {' or '.join(self._image)} with images; it has "
                f"{', '.join(names)}; give --image_column"
            )

    def _tfrecord(self, item, offset, size):
        filesystem, path = open_place(item.place)
        try:
            with filesystem.open_input_file(path) as file:
                record = tf.train.Example.FromString(file.read_at(size, offset))
        except OSError as error:
            raise InputError(f"{item.place}: cannot be read ({error}); check the path") from None
        except Exception:  # protobuf's errors have no class that all its versions share
            raise InputError(f"{item.source}: not a record of tf.train.Example") from None
        found = record.features.feature
        return {
            name: found[name].bytes_list.value[0]
            for name in sorted(found)
            if found[name].bytes_list.value
        }

    def _parquet(self, item, group, row):
        with self._lock:  # the readers share the rows of one group
            if self._key != (item.place, group):
                self._rows = self._read_group(item, group)
                self._key = item.place, group
            rows = self._rows
        return {name: rows[name][row].as_py() for name in rows.column_names}

    def _read_group(self, item, group):
        parquet = import_pyarrow("pyarrow.parquet")
        filesystem, path = open_place(item.place)
        try:
            with parquet.ParquetFile(path, filesystem=filesystem) as file:
                known, used = file.schema_arrow.names, {*self._image, *self._name}
                return file.read_row_group(group, columns=[name for name in known if name in used])
        except (OSError, ValueError) as error:
            raise InputError(f"{item.place}: cannot be read ({error})") from None
