"""What a network sees of color and depth: `--input=rgb`, `rgbd`, `hha` or `rgb_hha`.

A `DepthExample` reads the image and the depth map of an example and gives them as one image of
uint8 levels, so that all that reads examples scales, crops, mirrors and scores color and depth
together:

    rgb       red, green, blue; no depth
    rgbd      red, green, blue and `depth_levels`: early fusion
    hha       the three channels of `deeplab_tf.data.hha`
    rgb_hha   red, green, blue and HHA: late fusion

HHA is computed from the whole depth map, before anything is cut out of it. Scaling an image does
not change the values of its depth.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab_tf.data.datasets import dataset_camera
from deeplab_tf.data.depth import CAMERA_FILE, Camera, decode_depth, depth_levels
from deeplab_tf.data.examples import Example, RecordExample, read_file
from deeplab_tf.data.hha import hha_image
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.voc import DEPTH_FOLDER
from deeplab_tf.errors import InputError

CHANNELS = {"rgb": 3, "rgbd": 4, "hha": 3, "rgb_hha": 6}  # {input: channels of the images}
NEED_CAMERA = ("hha", "rgb_hha")
DEPTH_EXTENSIONS = (".png", ".npy")


class DepthExample(NamedTuple):
    """An example of color and depth; its image is what a network with this input sees.

    Args:
      color: `Example` or `RecordExample` of the image and its label.
      depth_file: path of the depth map; "" if it is in the record of `color`.
      input: "rgbd", "hha" or "rgb_hha".
      camera: `Camera` of the depth map; None if `input` does not need it.
    """

    color: Example | RecordExample
    depth_file: str
    input: str
    camera: Camera | None

    @property
    def name(self):
        """Its name in the list."""
        return self.color.name

    @property
    def image(self):
        """Path, or name in messages, of the color image."""
        return self.color.image

    @property
    def label(self):
        """Path, or name in messages, of the label; "" if there is none."""
        return self.color.label

    @property
    def depth(self):
        """Path, or name in messages, of the depth map."""
        return self.depth_file or f"{self.color.path}, depth of {self.name!r}"

    def read(self):
        """Read what a network sees, and the label.

        Returns:
          (bytes of a `.npy` file (H, W, C) uint8, bytes of the label; b"" if there is none).

        Raises:
          InputError: naming the file that cannot be used.
        """
        image_contents, label_contents = self.color.read()
        image, depth_contents = image_from(image_contents, self.image), self.read_depth()
        try:
            depth = decode_depth(depth_contents)
            levels = input_image(image, depth, self.input, self.camera)
        except InputError as error:
            raise InputError(f"{self.depth}: {error}") from None
        file = io.BytesIO()
        np.save(file, levels)
        return file.getvalue(), label_contents

    def read_label(self):
        """Read the contents of the label alone, bytes; b"" if there is none."""
        return self.color.read_label()

    def read_depth(self):
        """Read the contents of the depth map as it is stored, bytes.

        Raises:
          InputError: naming the file that cannot be read.
        """
        return read_file(self.depth_file) if self.depth_file else self.color.read(("depth",))[0]


def input_image(image, depth, input, camera=None):
    """The image of a network's input.

    Args:
      image: (H, W, 3) uint8 RGB.
      depth: (H, W) float32 in meters; 0 where it is unknown.
      input: "rgbd", "hha" or "rgb_hha".
      camera: `Camera` of the depth map, for HHA.

    Returns:
      (H, W, C) uint8, C as in `CHANNELS`.

    Raises:
      InputError: if the sizes differ.

    Example:
      >>> scores = model(input_image(image, depth, "rgb_hha", Camera(519, 519, 320, 240))[None])
    """
    if depth.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (depth, image)]
        raise InputError(f"size {sizes[0]} differs from the image's {sizes[1]}; make them equal")
    if input == "rgbd":
        return np.dstack([image, depth_levels(depth)])
    geometry = hha_image(depth, camera)
    return geometry if input == "hha" else np.dstack([image, geometry])


def add_depth(examples, input, dataset, data_dir, must_exist=True):
    """Add depth to the examples of a data set.

    Args:
      examples: list of `Example` or `RecordExample`.
      input: a key of `CHANNELS`; "rgb" returns the examples themselves.
      dataset, data_dir: see `open_dataset`.
      must_exist: whether all depth maps of a folder must be there; False leaves it to a check.

    Returns:
      List of `DepthExample`.

    Raises:
      InputError: if the data set has no depth or not the camera that `input` needs.
    """
    if input == "rgb":
        return examples
    pairs = find_depth_maps(examples, dataset, data_dir, must_exist, "give --input=rgb")
    camera = dataset_camera(dataset, data_dir)
    if input in NEED_CAMERA and camera is None:
        raise InputError(
            f"{Path(data_dir, CAMERA_FILE)}: no such file, but --input={input} needs the camera "
            "matrix; write fx fy cx cy there, in pixels"
        )
    return [DepthExample(*pair, input, camera) for pair in pairs]


def find_depth_maps(examples, dataset, data_dir, must_exist, advice):
    """Find the depth map of each example of a data set.

    Args:
      examples: list of `Example` or `RecordExample`.
      dataset, data_dir, must_exist: see `add_depth`.
      advice: what can be done without depth, for messages.

    Returns:
      List of (example, path of its depth map); the path is "" if the depth is in a record.

    Raises:
      InputError: if the data set has no depth.
    """
    if examples and isinstance(examples[0], RecordExample):
        if dataset_camera(dataset, data_dir) is None:
            raise InputError(
                f"the data set {dataset} in {data_dir} has no depth; give one with depth, such as "
                f"nyudv2, or {advice}"
            )
        return [(example, "") for example in examples]
    folder = Path(data_dir, DEPTH_FOLDER)
    files = [find_depth(folder, example.name) for example in examples]
    missing = next((file for file in files if must_exist and not file.is_file()), None)
    if missing:
        raise missing_depth(missing, advice)
    return list(zip(examples, map(str, files), strict=True))


def find_depth(folder, name):
    """The Path of a depth map in a folder; if there is none, where it should be."""
    paths = [Path(folder, f"{name}{extension}") for extension in DEPTH_EXTENSIONS]
    return next((path for path in paths if path.is_file()), paths[0])


def missing_depth(path, other="give --input=rgb"):
    """The `InputError` for a depth map that does not exist; `other`: what else can be done."""
    return InputError(
        f"{path}: no such depth map; add it (16-bit PNG in millimeters, or .npy of floats in "
        f"meters), or {other}"
    )
