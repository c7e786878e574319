"""SIFT Flow: 2,688 outdoor images of 256x256 pixels with labels in two label spaces.

--siftflow_dir   the folder of the published archive, SiftFlowDataset.zip (Tighe and Lazebnik):
    Images/SCENES/NAME.jpg           SCENES is spatial_envelope_256x256_static_8outdoorcategories
    SemanticLabels/SCENES/NAME.mat   S: 0 = not labeled, 1..33 = the semantic classes; names
    GeoLabels/SCENES/NAME.mat        S: -1 or 0 = not labeled, 1..3 = sky, horizontal, vertical
    TestSet1.txt                     the 200 test images

The images that are not on the list are for training, but for the two that are not annotated, which
the FCN authors leave out, too.
"""

from pathlib import Path, PureWindowsPath
from typing import ClassVar, NamedTuple

import numpy as np

from deeplab_tf.data.label_sets import SIFTFLOW, SIFTFLOW_GEOMETRIC
from deeplab_tf.data.lists import read_lines
from deeplab_tf.data.prepare.builder import Builder, files_by_stem
from deeplab_tf.data.prepare.matlab import load_variables, matrix
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

ARCHIVE = "http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip"
IMAGES, SEMANTIC, GEOMETRIC, TEST_LIST = "Images", "SemanticLabels", "GeoLabels", "TestSet1.txt"
NOT_ANNOTATED = ("highway_bost181", "street_urb506")
SPACE = "geometric"


class _Scene(NamedTuple):
    """An image and its labels in the two label spaces: paths."""

    name: str
    image: str
    label: str
    geometric: str


class Siftflow(Builder):
    """SIFT Flow: outdoor images in 33 semantic and 3 geometric classes."""

    OPTIONS: ClassVar = {"siftflow_dir": ""}
    PATHS: ClassVar = ("siftflow_dir",)
    expected: ClassVar = {"trainval": 2486, "test": 200}
    further_labels: ClassVar = {SPACE: SIFTFLOW_GEOMETRIC}

    def check_options(self):
        """Check that the folder is given and has the parts of the archive."""
        folder = self.options["siftflow_dir"]
        if not folder:
            raise InputError(
                f"--siftflow_dir is missing; give the folder SiftFlowDataset of {ARCHIVE}"
            )
        for part in (IMAGES, SEMANTIC, GEOMETRIC, TEST_LIST):
            path = Path(folder, part)
            if not (path.is_file() if part == TEST_LIST else path.is_dir()):
                raise InputError(f"{path}: not there; check --siftflow_dir, or extract {ARCHIVE}")

    def source_files(self):
        """The list, and all images and labels."""
        folder = Path(self.options["siftflow_dir"])
        found = [folder / TEST_LIST]
        for part, ending in ((IMAGES, ".jpg"), (SEMANTIC, ".mat"), (GEOMETRIC, ".mat")):
            found += sorted(files_by_stem(folder / part, ending).values())
        return found

    def splits(self, folders):
        """The test images in the order of the list, the others in that of their names."""
        folder = Path(self.options["siftflow_dir"])
        images = files_by_stem(folder / IMAGES, ".jpg")
        labels = [files_by_stem(folder / part, ".mat") for part in (SEMANTIC, GEOMETRIC)]
        test = read_test_list(folder / TEST_LIST, images)
        others = sorted(images.keys() - {*test, *NOT_ANNOTATED})

        def scene(name):
            for part, found in zip((SEMANTIC, GEOMETRIC), labels, strict=True):
                if name not in found:
                    raise InputError(f"{folder / part}: no {name}.mat; extract {ARCHIVE} again")
            return _Scene(name, images[name], *(found[name] for found in labels))

        return {"trainval": list(map(scene, others)), "test": list(map(scene, test))}

    def read_label(self, example):
        """The semantic label."""
        return read_classes(example.label, SIFTFLOW.names)

    def read_further(self, space, example):
        """The geometric label."""
        return read_classes(example.geometric, SIFTFLOW_GEOMETRIC.names)


def read_test_list(path, images):
    """Read the names of the test images.

    Args:
      path: TestSet1.txt. A line is the path of an image, with slashes or backslashes, or its name.
      images: the names of all images.

    Returns:
      List of names.

    Raises:
      InputError: naming the file if it lists no image, one twice, or one that does not exist.
    """
    names = []
    for line in read_lines(path):
        name = PureWindowsPath(line).stem  # which takes both kinds of slashes
        if name not in images or name in names:
            what = "twice" if name in names else "but there is no such image"
            raise InputError(f"{path}: lists {name!r} {what}; use the original file")
        names.append(name)
    if not names:
        raise InputError(f"{path}: lists no image; use the original file")
    return names


def read_classes(path, names):
    """Read a label file.

    Args:
      path: the .mat file; its `S` has the numbers of the classes from 1, and 0 or -1 for pixels
        without one. Its `names`, if it has them, must be the classes.
      names: of the classes.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: naming the file if it is missing, damaged or something else.
    """
    variables = load_variables(path)
    if "S" not in variables:
        raise InputError(f"{path}: has no variable 'S'; use the original file")
    values = matrix(variables["S"], path)
    wrong = values[~np.isin(values, np.arange(-1, len(names) + 1))]
    if wrong.size:
        raise InputError(
            f"{path}: value {wrong[0]:g}, but there are {len(names)} classes; use the original file"
        )
    found = [str(name).strip().lower() for name in np.atleast_1d(variables.get("names", []))]
    if found and found != list(names):
        raise InputError(
            f"{path}: classes {', '.join(found)} in place of {', '.join(names)}; use the original "
            "file"
        )
    return np.where(values > 0, values - 1, VOID).astype(np.uint8)
