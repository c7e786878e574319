"""How the synthetic data sets are written: whole, and once."""

import contextlib
from pathlib import Path

import cv2

from deeplab_tf.data.lists import IMAGES_FOLDER
from deeplab_tf.data.voc import LISTS
from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder

SMALLEST_SIDE = 128  # pixels; smaller pictures have no room for the objects
_JPEG_OPTIONS = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    # Color at full resolution: at half of it, color edges would be two pixels wide.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


def write_scenes(folder, counts, size, classes, draw):
    """Write the scenes of a data set in VOC layout, with its lists and classes.txt.

    Args:
      folder: an empty folder.
      counts: {split: number of images}.
      size: (height, width) of the images in pixels.
      classes: their names.
      draw: function from the number of the split and that of the image in it to the image,
        (H, W, 3) uint8 RGB, and {folder: contents of a PNG file}, which has a label at least.

    Raises:
      InputError: if a number or size is out of its range.
    """
    if min(counts.values()) < 1 or min(size) < SMALLEST_SIDE:
        raise InputError(
            f"{' + '.join(map(str, counts.values()))} images of {size}; give at least one image "
            f"for each split and {SMALLEST_SIDE} pixels a side"
        )
    for split_number, (split, count) in enumerate(counts.items()):
        names = [f"{split}_{number:04d}" for number in range(count)]
        for number, name in enumerate(names):
            image, files = draw(split_number, number)
            jpeg = cv2.imencode(".jpg", image[..., ::-1], _JPEG_OPTIONS)[1].tobytes()
            _write(folder / IMAGES_FOLDER / f"{name}.jpg", jpeg)
            for kind, contents in files.items():
                _write(folder / kind / f"{name}.png", contents)
        _write(folder / LISTS / f"{split}.txt", "\n".join([*names, ""]).encode())
    _write(folder / "classes.txt", "\n".join([*classes, ""]).encode())


def _write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


@contextlib.contextmanager
def new_data_set(data_dir, last):
    """A folder to fill, as `new_folder`; it is no error if another worker has filled it meanwhile.

    Args:
      data_dir: folder to make.
      last: a file of the data set, which no other one has; it tells that it is written.
    """
    try:
        with new_folder(data_dir) as folder:
            yield folder
    except OSError:
        if not Path(data_dir, last).is_file():
            raise


def ensure_data_set(data_dir, last, write):
    """Write a data set unless it is already there.

    Args:
      data_dir: its folder; made if missing.
      last: as for `new_data_set`.
      write: function of the folder.

    Raises:
      InputError: if `data_dir` holds other files.
    """
    written = Path(data_dir, last)
    if not written.is_file():
        try:
            write(data_dir)
        except InputError:
            # Another worker that started at the same time may have written the same files first.
            if not written.is_file():
                raise
