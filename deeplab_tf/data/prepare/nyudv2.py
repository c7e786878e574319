"""NYU Depth v2: 1,449 indoor images of color and depth, in the 40 classes of Gupta et al.

--nyu_dir   a folder with
    nyu_depth_v2_labeled.mat   the authors' labeled images; HDF5, so all axes are in reverse order
    classMapping40.mat         Gupta's map from their 894 classes to 40
    nyusplits.mat              Gupta's lists: train, val, test (381, 414 and 654 images); or, if it
                               is not there,
    splits.mat                 the authors' lists: trainval, test (795 and 654 images)
--nyu_crop  leave out the white frame of the images, as Gupta and the FCN authors do: 560x425 of
            640x480 pixels

The depth is the authors' in-painted one, `depths`; its float32 numbers are kept as they are.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from deeplab_tf.data.depth import Camera
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.prepare.matlab import load_variables, open_hdf5, strings
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.labels import VOID
from deeplab_tf.untrusted import DAMAGED_HDF5
from deeplab_tf.visualize import encode_picture

IMAGES, CLASS_MAP = "nyu_depth_v2_labeled.mat", "classMapping40.mat"
GUPTA_SPLITS, SPLITS = "nyusplits.mat", "splits.mat"
PAGE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
FIRST_NUMBER = 5001  # Gupta's number of the first image

# {split: names of its variable} of the two files; the numbers of the first are Gupta's.
SPLIT_VARIABLES = {
    GUPTA_SPLITS: {"train": ("train",), "val": ("val",), "test": ("test", "tst")},
    SPLITS: {"trainval": ("trainNdxs",), "test": ("testNdxs",)},
}
COUNTS = {"train": 381, "val": 414, "trainval": 795, "test": 654}

FRAME_SIZE = (480, 640)
CROP = (slice(45, 470), slice(40, 600))  # rows and columns inside of the frame
# Of the color camera, to which the depth is projected: the authors' calibration.
CAMERA = Camera(518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)


class _Frame(NamedTuple):
    """One image of the file: `index` counts from 0; the others are for messages."""

    name: str
    image: str
    label: str
    index: int


# Kind of NumPy's types, and number of axes, of the variables of one image.
_FORMS = {"images": ("u", 3), "labels": ("u", 2), "depths": ("f", 2)}


class Nyudv2(Builder):
    """NYU Depth v2: indoor images of color and depth, 40 classes."""

    OPTIONS: ClassVar = {"nyu_dir": "", "nyu_crop": True}
    PATHS: ClassVar = ("nyu_dir",)
    expected: ClassVar = COUNTS

    def check_options(self):
        """Check that the folder is given and has the files."""
        folder = self.options["nyu_dir"]
        if not folder:
            raise InputError(
                f"--nyu_dir is missing; give a folder with {IMAGES} and {SPLITS} ({PAGE}) or "
                f"Gupta's {GUPTA_SPLITS}, and Gupta's {CLASS_MAP}"
            )
        for path in self.source_files():
            if not path.is_file():
                other = f", nor {GUPTA_SPLITS}" if path.name == SPLITS else ""
                raise InputError(f"{path}: no such file{other}; put it there, or check --nyu_dir")

    def source_files(self):
        """The three files."""
        folder = Path(self.options["nyu_dir"])
        gupta = folder / GUPTA_SPLITS
        return [
            folder / IMAGES,
            folder / CLASS_MAP,
            gupta if gupta.is_file() else folder / SPLITS,
        ]

    @property
    def camera(self):
        """The color camera, of the images as they are prepared."""
        if not self.options["nyu_crop"]:
            return CAMERA
        rows, columns = CROP
        return CAMERA._replace(cx=CAMERA.cx - columns.start, cy=CAMERA.cy - rows.start)

    def splits(self, folders):
        """The images of the lists, in their order."""
        images, class_map, splits = self.source_files()
        self._file = open_hdf5(images, ("images", "depths", "labels", "names"))
        count = len(self._file["images"])
        self._lookup = read_class_map(class_map, strings(self._file, "names"), images)
        return {
            split: [
                _Frame(
                    f"img_{FIRST_NUMBER + index}",
                    f"{images}, image {index + 1}",
                    f"{images}, labels of image {index + 1}",
                    index,
                )
                for index in indices
            ]
            for split, indices in read_splits(splits, count).items()
        }

    def read_image(self, example):
        """The image as a PNG."""
        return encode_picture(self._read("images", example))

    def read_label(self, example):
        """The label in the 40 classes; 0, unlabeled, becomes void."""
        labels = self._read("labels", example)
        if labels.max() >= len(self._lookup):
            raise InputError(
                f"{example.label}: value {labels.max()}, but there are only "
                f"{len(self._lookup) - 1} classes; use the original file"
            )
        return self._lookup[labels]

    def read_depth(self, example):
        """The in-painted depth, (H, W) float32 in meters."""
        return self._read("depths", example).astype(np.float32, copy=False)

    def _read(self, name, example):
        # MATLAB's axes are in reverse order: (W, H), and (3, W, H) of an image.
        try:
            values = np.ascontiguousarray(self._file[name][example.index].T)
        except DAMAGED_HDF5 as error:
            raise InputError(
                f"{example.image}: damaged ({one_line(error, 100)}); download the file again"
            ) from None
        kind, axes = _FORMS[name]
        if values.dtype.kind != kind or values.ndim != axes or not values.size:
            raise InputError(
                f"{example.image}: {name} of {values.dtype} {values.shape}; use the original file"
            )
        if not self.options["nyu_crop"]:
            return values
        if values.shape[:2] != FRAME_SIZE:
            size = f"{values.shape[1]}x{values.shape[0]}"
            raise InputError(
                f"{example.image}: {size}, but the original has {FRAME_SIZE[1]}x{FRAME_SIZE[0]} "
                "pixels; use the original file, or give --nonyu_crop"
            )
        return np.ascontiguousarray(values[CROP])


def read_class_map(path, names, images):
    """Read Gupta's map of the classes.

    Args:
      path: classMapping40.mat, whose mapClass has the class 1..40 of each of the authors' classes.
      names: the classes of the images' file, list of str.
      images: that file, for messages.

    Returns:
      (number of the authors' classes + 1,) uint8 array: the class index 0..39 of each value of the
      labels; 255 for 0, which is unlabeled.

    Raises:
      InputError: if the file is something else, or made for other classes.
    """
    variables = load_variables(path)
    if "mapClass" not in variables:
        raise InputError(f"{path}: has no variable 'mapClass'; use Gupta's original file")
    classes = np.atleast_1d(variables["mapClass"]).ravel()
    if classes.dtype.kind not in "uif" or not np.isin(classes, np.arange(1, 41)).all():
        raise InputError(f"{path}: mapClass is not of the classes 1..40; use Gupta's original file")
    if len(classes) != len(names):
        raise InputError(
            f"{path}: maps {len(classes)} classes, but {images} has {len(names)}; use the original "
            "files"
        )
    return np.array([VOID, *(classes - 1)], np.uint8)


def read_splits(path, count):
    """Read the lists of images.

    Args:
      path: nyusplits.mat or splits.mat.
      count: number of images.

    Returns:
      {split: list of int}, the images counted from 0.

    Raises:
      InputError: if the file is something else, or lists an image that does not exist.
    """
    variables, first = load_variables(path), FIRST_NUMBER if path.name == GUPTA_SPLITS else 1
    found = {}
    for split, names in SPLIT_VARIABLES[path.name].items():
        name = next((name for name in names if name in variables), None)
        if name is None:
            raise InputError(f"{path}: has no variable {names[0]!r}; use the original file")
        numbers = np.atleast_1d(variables[name]).ravel()
        if numbers.dtype.kind not in "uif" or not np.isin(numbers - first, np.arange(count)).all():
            raise InputError(
                f"{path}: {name} lists other images than {first}..{first + count - 1}; use the "
                "original files"
            )
        found[split] = [int(number) - first for number in numbers]
    return found
