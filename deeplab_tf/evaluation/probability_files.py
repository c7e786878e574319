"""Files of the probabilities of all classes, which NumPy, OpenCV and Pillow read.

There are two kinds, both of the size of the image, with the classes in the order of their indices:

- an `.npz` file of `probabilities`, (H, W, C) float32 or float16, `classes`, (C,) texts, and
  `source`, a text, see `SOURCES`;
- a folder with a 16-bit gray PNG for each class, `000_sky.png`, `001_road.png`, ..., whose values
  are the probabilities times 65535, rounded, and `probabilities.json` with the same `classes`,
  `source`, and the `scale` of 65535.
"""

import json
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np

from crf.memory import available_memory
from deeplab_tf.data.array_files import DAMAGED_NPZ, read_npz
from deeplab_tf.data.image_header import DAMAGED
from deeplab_tf.data.samples import read_samples
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation.photographs import enlarged_planes
from deeplab_tf.files import new_folder, whole_file, write_file
from deeplab_tf.untrusted import parse_json

# What the probabilities are of, and how people are told.
SOURCES = {
    "network": "the softmax of the network's scores",
    "crf": "the beliefs after the CRF",
    "export": "as the SavedModel gives them; it does not say whether it holds a CRF",
}
SCALE = 65535  # the value of a PNG for probability 1
INDEX = "probabilities.json"

_PLANE = re.compile(r"\d{3}_.*\.png")
_LONGEST = 80  # characters of a class name in the name of a file


def save_npz(path, probabilities, names, source="network", size=None, dtype="float32"):
    """Write the probabilities of an image to an `.npz` file.

    Args:
      path: the file, which appears when it is complete.
      probabilities: (h, w, C) float32.
      names: the C class names.
      source: one of `SOURCES`.
      size: (H, W) to interpolate them to, see `enlarge`; None: (h, w).
      dtype: "float32", or "float16" for half the space: probabilities near 1 are then rounded to
        multiples of 0.0005.

    Raises:
      InputError: if memory cannot hold them.

    Example:
      >>> found = segment(model, image, return_probabilities=True)
      >>> save_npz("scene.npz", found, label_set.names)
      >>> np.load("scene.npz")["probabilities"].shape
      (360, 480, 11)
    """
    size = size or probabilities.shape[:2]
    values = _of_size(probabilities, size, dtype)
    parts = {"probabilities": values, "classes": np.array(names), "source": np.array(source)}
    # The last bits of floats cannot be compressed, so more effort saves next to nothing.
    kind = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", **kind) as file:
        for name, array in parts.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def save_pngs(path, probabilities, names, source="network", size=None):
    """Write the probabilities of an image to a folder of 16-bit PNGs, one for each class.

    An existing folder of this kind is replaced. Only one class at a time is in memory at full size.

    Args:
      path: the folder, which appears when it is complete.
      probabilities, names, source, size: see `save_npz`.

    Raises:
      InputError: as `check_pngs`.
    """
    check_pngs(path)
    planes = enlarged_planes(probabilities, size or probabilities.shape[:2])
    with new_folder(path, overwrite=True) as folder:
        for index, (plane, name) in enumerate(zip(planes, names, strict=True)):
            values = np.rint(SCALE * plane.clip(0, 1)).astype(np.uint16)
            contents = cv2.imencode(".png", values)[1].tobytes()
            (folder / f"{index:03}_{in_file_name(name)}.png").write_bytes(contents)
        content = {"classes": list(names), "source": source, "scale": SCALE}
        write_file(folder / INDEX, (json.dumps(content, indent=1) + "\n").encode())


def check_npz(path):
    """Raise `InputError` if there is a folder where `save_npz` would write its file."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder, where a file would be written; move it away")


def check_pngs(path):
    """Raise `InputError` if there is something that `save_pngs` would not write itself."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, where a folder would be written; move it away")
    found = sorted(path.iterdir()) if path.exists() else []
    others = [file.name for file in found if file.name != INDEX and not _PLANE.fullmatch(file.name)]
    if others:
        raise InputError(
            f"{path}: would be replaced, but holds other files, such as {others[0]}; move them away"
        )


def load_probabilities(path):
    """Read what `save_npz` or `save_pngs` wrote.

    Args:
      path: the `.npz` file, or the folder of PNGs.

    Returns:
      (probabilities (H, W, C) float32, tuple of the C class names, source: one of `SOURCES`).

    Raises:
      InputError: if it is missing, damaged, or something else.
    """
    try:
        return (_load_pngs if Path(path).is_dir() else _load_npz)(Path(path))
    except (InputError, *DAMAGED_NPZ, *DAMAGED) as error:
        raise InputError(
            f"{path}: not probabilities that predict --probabilities_out wrote, or damaged "
            f"({one_line(error)}); write them again"
        ) from None


def in_file_name(name):
    """A class name as a part of a file's name.

    Example:
      >>> in_file_name("traffic light/sign")
      'traffic_light_sign'
    """
    return re.sub(r"[^\w.-]+", "_", name)[:_LONGEST]


def _of_size(probabilities, size, dtype):
    shape = (*size, probabilities.shape[2])
    needed, memory = np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64), available_memory()
    if memory is not None and needed > memory:
        raise InputError(
            f"the probabilities of {size[1]}x{size[0]} pixels and {shape[2]} classes need "
            f"{needed / 1e9:.1f} GB of memory; write them as PNGs, one class at a time"
        )
    values = np.empty(shape, dtype)
    for index, plane in enumerate(enlarged_planes(probabilities, size)):
        values[..., index] = plane
    return values


def _load_npz(path):
    file = read_npz(path, ("probabilities", "classes", "source"))
    names, source = tuple(file["classes"].tolist()), str(file["source"])
    return _checked(file["probabilities"].astype(np.float32), names, source)


def _load_pngs(path):
    content = parse_json((path / INDEX).read_text("utf-8"))
    files = sorted(file for file in path.iterdir() if _PLANE.fullmatch(file.name))
    planes = [read_samples(file.read_bytes()).values for file in files]
    values = np.dstack(planes).astype(np.float32) / content["scale"]
    return _checked(values, tuple(content["classes"]), content["source"])


def _checked(values, names, source):
    if values.ndim != 3 or values.shape[2] != len(names) or source not in SOURCES:
        raise InputError(f"{len(names)} classes, array of {values.shape}, source {source!r}")
    return values, names, source
