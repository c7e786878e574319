"""From an example's files to its crop in a training batch, decoding no more than needed."""

import tensorflow as tf

from deeplab_tf.data.augment import crop_image, crop_label, needed_part, place_crop
from deeplab_tf.data.image_files import decode_part, load_pair
from deeplab_tf.data.label_png import decode_classes
from deeplab_tf.errors import InputError


class Cropper:
    """Writes crops of the examples of a data set.

    Args:
      num_classes: number of classes; label values are below this, or 255.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      grid: `TileGrid` if crops are made of tiles; None if they are made of whole images.
      channels: of the images.
      padding: the color of pixels outside of the images, see `crop_image`.
    """

    def __init__(self, num_classes, encoding=None, grid=None, channels=3, padding=None):
        self._num_classes, self._encoding, self._grid = num_classes, encoding, grid
        self._channels, self._padding = channels, padding

    def write(self, example, tile, change, image_out, label_out):
        """Write one crop.

        Args:
          example: `Example` or `RecordExample`.
          tile: number of the tile in the grid, if there is one.
          change: `deeplab_tf.data.augment.Change`.
          image_out: (crop, crop, channels) float32, receives the image.
          label_out: (crop, crop) uint8, receives the label; (crop, crop, heads) of `HeadsExample`s.

        Raises:
          InputError: naming the file that cannot be used.
        """
        try:
            self._write(example, tile, change, image_out, label_out)
        except (InputError, tf.errors.OpError) as error:
            self.load(example)  # raises an error that names the file at fault
            if str(error).startswith((example.image, example.label)):
                raise
            raise InputError(f"{example.image}: cannot be used ({error}); replace it") from None

    def load(self, example):
        """The whole image and label of an example, see `load_pair`."""
        return load_pair(example, self._num_classes, self._encoding, self._channels)

    def _decode(self, contents):
        return decode_classes(contents, self._num_classes, self._encoding)

    def _crop(self, label, place, change, out, origin):
        crop_label(label, place, out, origin)

    def _write(self, example, tile, change, image_out, label_out):
        image_contents, label_contents = example.read()
        label = self._decode(label_contents)
        shape = label.shape[:2]
        origin, size = self._tile(example, tile, shape)
        place = place_crop(size, change, len(label_out))
        self._crop(label, place, change, label_out, origin)
        (top, bottom), (left, right) = needed_part(place, len(label_out))
        box = (origin[0] + top, origin[1] + left, origin[0] + bottom, origin[1] + right)
        image, start = decode_part(image_contents, shape, box, self._channels)
        origin = (origin[0] - start[0], origin[1] - start[1])
        crop_image(image, place, change.colors, image_out, origin, self._padding)

    def _tile(self, example, tile, size):
        # ((row, column) where the tile starts, (height, width) of the tile), in pixels.
        if self._grid is None:
            return (0, 0), size
        try:
            top, left, height, width = self._grid.tile(tile, size)
        except InputError as error:
            raise InputError(f"{example.image}: {error}") from None
        return (top, left), (height, width)
