"""What the builders of all data sets share: features, metadata, order, and checks of each pair."""

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_files import encode_label, load_image
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# Where more than a gigabyte is written, tensorflow-datasets sorts the records by key in a
# thousand parts, the i-th for the i-th thousandth of all 128-bit keys, each in memory.
KEYS, PARTS = 1 << 128, 64


class Sample(NamedTuple):
    """One image with its truth, as read from the original files.

    Args:
      name: its name in the lists.
      image: path of the JPEG or PNG file, which is copied as it is.
      label: (H, W) uint8 array of class indices, 255 = void.
      source: path of the file that the label came from, for messages.
    """

    name: str
    image: Path
    label: np.ndarray
    source: Path


class SegmentationBuilder(tfds.core.GeneratorBasedBuilder):
    """Writes a data set of images and label maps as TFRecords.

    A subclass says what the data set is by its attributes, and reads the original files in
    `splits` and `load`. `prepare` does the rest.

    Attributes:
      label_set: the classes, a `LabelSet`.
      archives: {key: `Archive`}; see also `needed_archives`.
      expected: {split: number of images} of the original; other numbers are an error.
      lists: {name: [splits]}, the unions of splits that can be read under a name of their own;
        one of a split that there is not is left out.
      OPTIONS: {name: default} of what the user may choose; `self.options` has the choice.
      PATHS: those of `OPTIONS` that are paths.

    Args:
      data_dir: the folder in which NAME/VERSION is written.
      origin: `Origin`, which is kept in metadata.json.
      folders: {key: Path} of the archives' contents.
      expected: {split: number of images} that must come out; {} checks nothing.
      bar: tqdm progress bar.
    """

    VERSION = tfds.core.Version("1.0.0")
    # tensorflow-datasets would look for lists of checksums beside the code, and for that needs
    # a package that it does not install.
    code_path = None
    label_set = None
    archives: ClassVar = {}
    expected: ClassVar = {}
    lists: ClassVar = {}
    OPTIONS: ClassVar = {}
    PATHS: ClassVar = ()

    def __init_subclass__(cls, **kwargs):
        # tensorflow-datasets' own list of builders stays as it is: some names are in it already.
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(self, *, data_dir, origin, folders, expected, bar):
        self.options, self._origin = origin.options, origin
        self._folders, self._expected, self._bar = folders, expected, bar
        self._split_of = {}  # by example name
        super().__init__(data_dir=data_dir)

    @classmethod
    def check_options(cls, options):
        """Raise `InputError` where a value of {name: value}, given for every option, is wrong."""

    @classmethod
    def needed_archives(cls, options):
        """The archives that these options need, {key: `Archive`}."""
        return cls.archives

    @classmethod
    def source_files(cls, options):
        """The user's own files that the data is made of, beside the archives; a list of paths."""
        return [options[name] for name in cls.PATHS if options[name]]

    def splits(self, folders):
        """The examples of each split, in their order; the splits must be disjoint.

        Args:
          folders: {key: Path} of the archives' contents.

        Returns:
          {split: list of items}; an item is whatever `load` understands.

        Raises:
          InputError: where a file is missing or damaged.
        """
        raise NotImplementedError

    def load(self, item):
        """Read one example; called from several threads at once.

        Args:
          item: what `splits` gave.

        Returns:
          `Sample`; None where the example shall be left out.

        Raises:
          InputError: where a file is missing or damaged.
        """
        raise NotImplementedError

    def _info(self):
        label_set = self.label_set
        metadata = tfds.core.MetadataDict(
            classes=list(label_set.names),
            colors=[list(color) for color in label_set.colors],
            void_color=list(label_set.void_color),
            names={},
            lists={},
            **self._origin._asdict(),
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "name": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.Image(
                        shape=(None, None, 1), dtype=np.uint8, encoding_format="png"
                    ),
                }
            ),
            disable_shuffling=True,
            metadata=metadata,
        )

    def _split_generators(self, dl_manager):
        splits = self.splits(self._folders)
        self._bar.reset(sum(len(items) for items in splits.values()))
        self.info.metadata["lists"] = {
            name: list(parts) for name, parts in self.lists.items() if splits.keys() >= set(parts)
        }
        return {split: self._generate_examples(split, items) for split, items in splits.items()}

    def _generate_examples(self, split, items):
        names = self.info.metadata["names"][split] = []
        for sample in prefetch_map(self._encode, items):
            self._bar.update()
            if sample is None:
                continue
            self._claim(sample["name"], split)
            names.append(sample["name"])
            yield _key(len(names), len(items)), sample
        self._check_count(split, len(names))

    def _encode(self, item):
        sample = self.load(item)
        if sample is None:
            return None
        _check(sample, self.label_set.num_classes)
        label = encode_label(sample.label)
        return {"name": sample.name, "image": read_file(sample.image), "label": label}

    def _claim(self, name, split):
        if name in self._split_of:
            raise InputError(
                f"{self.name}: {name!r} is in {self._split_of[name]!r} and again in {split!r};"
                " the splits must be disjoint"
            )
        self._split_of[name] = split

    def _check_count(self, split, count):
        expected = self._expected.get(split, count)
        if count != expected:
            raise InputError(
                f"{self.name}: {count} images in {split!r}, but the original has {expected};"
                " download the archives again, or give --trust_archives"
            )
        if not count:
            raise InputError(f"{self.name}: no image in {split!r}; check the archives")


def _check(sample, num_classes):
    height, width = load_image(sample.image).shape[:2]
    label = sample.label
    if label.dtype != np.uint8 or label.shape != (height, width):
        raise InputError(
            f"{sample.source}: label {label.dtype} {label.shape} but the image {sample.image} is"
            f" ({height}, {width}); labels are uint8 and as large as their images"
        )
    wrong = label[(label >= num_classes) & (label != VOID)]
    if wrong.size:
        raise InputError(
            f"{sample.source}: label value {wrong.max()} but only {num_classes} classes"
            f" (0..{num_classes - 1}, {VOID} = void); the file is damaged or another data set's"
        )


def _key(index, count):
    # Ascending, and spread so that each part of tensorflow-datasets' sort holds a few of them.
    return index * PARTS // (count + 1) * (KEYS // PARTS) + index
