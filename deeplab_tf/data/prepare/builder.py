"""The base class of the builders: which archives a data set needs, and how to read its examples.

A new builder is a subclass in prepare/NAME.py. It names its archives and says in `splits` which
examples there are, and in `read_label` how to read a label that is not a PNG of class indices;
prepare/voc12.py is the shortest example. The table in datasets.py names the class.
"""

from pathlib import Path
from typing import ClassVar

from deeplab_tf.data.datasets import DATASETS
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.image_header import without_turn
from deeplab_tf.errors import InputError

VERSION = "1.0.0"  # of the prepared data: the name of its folder


class Builder:
    """Reads the original files of one data set; `prepare` does the rest.

    Attributes:
      archives: {key: `Archive`}, the archives that the data set needs.
      expected: {split: number of images} of the original data set; other numbers are an error.
      lists: {name: [splits]}, unions of splits that can be opened under a name of their own; a
        union with a split that does not exist is left out.
      OPTIONS: {name: default} of the options that a user may set; `self.options` has the values.
      camera: `Camera` of the depth maps; None: the data set has no depth.
      PATHS: names of those options that are paths; their values are made absolute.
      further_labels: {name: `LabelSet`} of further label spaces, in which `read_further` gives the
        labels of the same images.

    Args:
      name: the data set's name, a key of `DATASETS`.
      options: {name: value} of the options that differ from their defaults.

    Raises:
      InputError: if there is no such option or a value is wrong.
    """

    archives: ClassVar = {}
    expected: ClassVar = {}
    lists: ClassVar = {"trainval": ["train", "val"]}
    OPTIONS: ClassVar = {}
    PATHS: ClassVar = ()
    camera = None
    further_labels: ClassVar = {}

    def __init__(self, name, options=None):
        for option in options or {}:
            if option not in self.OPTIONS:
                raise InputError(
                    f"--{option}: {name} has no such option;"
                    f" it has {', '.join(f'--{known}' for known in self.OPTIONS) or 'none'}"
                )
        self.name, self.options = name, {**self.OPTIONS, **(options or {})}
        for option in self.PATHS:
            # A later run, maybe in another folder, compares the path with its own.
            if path := self.options[option]:
                self.options[option] = str(Path(path).resolve())
        self.check_options()

    @property
    def label_set(self):
        """The classes, a `LabelSet`: those of the table in datasets.py, if it has any."""
        return DATASETS[self.name].label_set

    def check_options(self):
        """Raise `InputError` if a value in `self.options` is wrong."""

    def source_files(self):
        """Paths of the user's own files that the data is made of, in addition to the archives."""
        return [self.options[option] for option in self.PATHS if self.options[option]]

    def splits(self, folders):
        """The examples of each split, in their order; no example may be in two splits.

        Args:
          folders: {key: Path} of the archives' contents.

        Returns:
          {split: list of examples}. An example is an `Example`, or any tuple with its fields; its
          label need not be a PNG, only what `read_label` understands.

        Raises:
          InputError: if a file is missing or damaged.
        """
        raise NotImplementedError

    def read_image(self, example):
        """Read the image file of one example; called from several threads at once.

        Authors draw labels on the pixels as they are stored. So the image must not be turned when
        it is read, and an EXIF orientation, if there is one, is removed.

        Args:
          example: one of those that `splits` gave.

        Returns:
          The bytes of a JPEG or PNG file.

        Raises:
          InputError: if the file is missing.
        """
        return without_turn(read_file(example.image))

    def read_label(self, example):
        """Read the label map of one example; called from several threads at once.

        Args:
          example: one of those that `splits` gave.

        Returns:
          (H, W) uint8 array of class indices, 255 = void; None to leave the example out.

        Raises:
          InputError: if a file is missing or damaged.
        """
        return load_label(example.label, self.label_set.num_classes)

    def read_further(self, space, example):
        """Read the label map of one example in a further label space.

        Args:
          space: a key of `further_labels`.
          example: one of those that `splits` gave.

        Returns:
          (H, W) uint8 array of class indices, 255 = void.

        Raises:
          InputError: if a file is missing or damaged.
        """
        raise NotImplementedError

    def read_depth(self, example):
        """Read the depth map of one example, if `camera` says that there is depth.

        Args:
          example: one of those that `splits` gave.

        Returns:
          (H, W) float32 array in meters, as large as the image; 0 where it is unknown.
        """
        raise NotImplementedError


def files_by_stem(folder, ending):
    """Find files in a folder or its subfolders, in which copies of an archive differ.

    Args:
      folder: where to look.
      ending: of the files' names, in lower case; capitals count too.

    Returns:
      {name without its ending: Path}, without hidden files.

    Raises:
      InputError: if there is none.
    """
    found = {
        path.stem: path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() == ending and not path.name.startswith(".")
    }
    if not found:
        raise InputError(f"{folder}: no {ending} file there or in its subfolders; check the path")
    return found
