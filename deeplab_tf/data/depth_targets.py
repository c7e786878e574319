"""Examples whose depth map is what a network learns to predict from their image."""

from typing import NamedTuple

from deeplab_tf.data.augment import crop_depth
from deeplab_tf.data.crops import Cropper
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.examples import RecordExample, read_file
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.inputs import DepthExample, find_depth_maps
from deeplab_tf.errors import InputError


class DepthTarget(NamedTuple):
    """An image and its depth map, which takes the place of a label.

    Args:
      pair: `DepthExample` of the image and its depth map.
    """

    pair: DepthExample

    @property
    def name(self):
        """Its name in the list."""
        return self.pair.name

    @property
    def image(self):
        """Path, or name in messages, of the image."""
        return self.pair.image

    @property
    def label(self):
        """Path, or name in messages, of the depth map."""
        return self.pair.depth

    def read(self):
        """Read the contents of the image and of the depth map, bytes.

        Raises:
          InputError: naming the file that cannot be read.
        """
        color = self.pair.color
        if isinstance(color, RecordExample):
            return color.read(("image", "depth"))
        return self.read_image(), self.pair.read_depth()

    def read_image(self):
        """Read the contents of the image alone, bytes; errors as of `read`."""
        color = self.pair.color
        if isinstance(color, RecordExample):
            return color.read(("image",))[0]
        return read_file(color.image)


def depth_targets(examples, dataset, data_dir, must_exist=True):
    """Give examples of a data set their depth maps as what is to be predicted.

    Args:
      examples: list of `Example` or `RecordExample`; they need no label.
      dataset, data_dir: see `open_dataset`.
      must_exist: whether all depth maps of a folder must be there; False leaves it to a check.

    Returns:
      List of `DepthTarget`.

    Raises:
      InputError: if the data set has no depth.
    """
    advice = "give --objective=pixels"
    pairs = find_depth_maps(examples, dataset, data_dir, must_exist, advice)
    return [DepthTarget(DepthExample(*pair, "rgb", None)) for pair in pairs]


def load_depth_pair(target, channels=3):
    """Read the image and the depth map of an example.

    Args:
      target: `DepthTarget`.
      channels: number of channels of the image.

    Returns:
      image (H, W, channels) uint8, and depth (H, W) float32 in meters, 0 where it is unknown.

    Raises:
      InputError: naming the file that cannot be used, or if the sizes differ.
    """
    image_contents, depth_contents = target.read()
    image = image_from(image_contents, target.image, channels)
    try:
        depth = decode_depth(depth_contents)
        if image.shape[:2] != depth.shape:
            sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (depth, image)]
            raise InputError(
                f"size {sizes[0]} differs from the image's {sizes[1]} ({target.image}); make them "
                "equal"
            )
    except InputError as error:
        raise InputError(f"{target.label}: {error}") from None
    return image, depth


class DepthCropper(Cropper):
    """Writes crops of images and of their depth maps.

    Args:
      grid, channels, padding: see `Cropper`.
    """

    def __init__(self, grid=None, channels=3, padding=None):
        super().__init__(None, None, grid, channels, padding)

    def load(self, example):
        """The whole image and depth map of an example, see `load_depth_pair`."""
        return load_depth_pair(example, self._channels)

    def _decode(self, contents):
        return decode_depth(contents)

    def _crop(self, depth, place, change, out, origin):
        crop_depth(depth, place, change.scale, out, origin)
