"""Writing the examples of a builder as TFRecord files with tensorflow-datasets."""

import contextlib
import io

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from deeplab_tf.data.depth import encode_depth
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.data.prepare.builder import VERSION
from deeplab_tf.data.records import SPACES, label_key
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# tensorflow-datasets sorts the records by their 128-bit keys. Above a gigabyte it divides them into
# 1,000 buckets of equal key ranges and sorts each in memory, so the keys have to be spread over the
# whole range.
KEYS, BUCKETS = 1 << 128, 64


def write_records(builder, folders, origin, data_dir):
    """Read all examples of a data set and write them into DATA_DIR/NAME/VERSION.

    Args:
      builder: `Builder` of the data set.
      folders: {key: Path} of the contents of its archives.
      origin: `Origin`, which is kept in metadata.json.
      data_dir: Path of the folder.

    Raises:
      InputError: if a file is missing or damaged, a label does not fit its image, an example is
        in two splits, or a split has another number of images than the original.
    """
    data_dir = data_dir.absolute()  # tensorflow-datasets would expand a leading ~
    tfds.disable_progress_bar()  # our bar counts images, theirs the steps of writing
    with tqdm(desc=f"preparing {builder.name}", unit="image") as bar:
        writer = _Writer(builder, folders, origin, data_dir, bar)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints estimated sizes of 0
            writer.download_and_prepare(
                download_dir=data_dir / builder.name / "downloads",  # stays empty
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )


def check_label(example, image, label, num_classes, space=""):
    """Check that a label map has the size of its image and no unknown class.

    Args:
      example: the `Example`, for messages.
      image: bytes of its image file.
      label: its label map.
      num_classes: number of classes.
      space: name of its label space in messages, if it is a further one.

    Raises:
      InputError: naming the file if the label is wrong or the image cannot be read.
    """
    height, width = image_from(image, example.image).shape[:2]
    name = f"{example.label}, {label_key(space)}" if space else example.label
    if label.dtype != np.uint8 or label.shape != (height, width):
        raise InputError(
            f"{name}: label {label.dtype} {label.shape} but the image {example.image} is"
            f" ({height}, {width}); labels are uint8 and as large as their images"
        )
    wrong = label[(label >= num_classes) & (label != VOID)]
    if wrong.size:
        raise InputError(
            f"{name}: label value {wrong.max()} but only {num_classes} classes"
            f" (0..{num_classes - 1}, {VOID} = void); the file is damaged or from another data set"
        )


def _classes(label_set):
    return {
        "classes": list(label_set.names),
        "colors": [list(color) for color in label_set.colors],
        "void_color": list(label_set.void_color),
    }


# Not registered, because tensorflow-datasets has data sets of the same names.
class _Writer(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version(VERSION)
    # Otherwise tensorflow-datasets looks for checksums next to the code, with a package that it
    # does not install.
    code_path = None

    def __init__(self, builder, folders, origin, data_dir, bar):
        self.name = builder.name
        self._builder, self._folders, self._origin, self._bar = builder, folders, origin, bar
        self._split_of = {}  # {name of the example: its split}
        super().__init__(data_dir=data_dir)

    def _info(self):
        label_set = self._builder.label_set
        label = tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png")
        image = tfds.features.Image(shape=(None, None, 3))
        features = {"name": tfds.features.Text(), "image": image, "label": label}
        camera = self._builder.camera
        if camera is not None:
            features["depth"] = tfds.features.Tensor(shape=(), dtype=np.object_)
        further = self._builder.further_labels
        features |= {label_key(space): label for space in further}
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self._builder).__doc__,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(
                **_classes(label_set),
                names={},
                lists={},
                **({SPACES: {s: _classes(each) for s, each in further.items()}} if further else {}),
                **({} if camera is None else {"camera": str(camera)}),
                **self._origin._asdict(),
            ),
        )

    def _split_generators(self, dl_manager):
        splits = self._builder.splits(self._folders)
        self._bar.reset(sum(len(examples) for examples in splits.values()))
        self.info.metadata["lists"] = {
            name: list(parts)
            for name, parts in self._builder.lists.items()
            if splits.keys() >= set(parts)
        }
        return {split: self._generate_examples(split, found) for split, found in splits.items()}

    def _generate_examples(self, split, examples):
        names = self.info.metadata["names"][split] = []
        for record in prefetch_map(self._record, examples):
            self._bar.update()
            if record is None:
                continue
            name = record["name"]
            if name in self._split_of:
                raise InputError(
                    f"{self.name}: {name!r} is in {self._split_of[name]!r} and again in {split!r};"
                    " no image may be in two splits"
                )
            self._split_of[name] = split
            names.append(name)
            # Ascending keys keep the order; the first part spreads them over the whole range.
            bucket = len(names) * BUCKETS // (len(examples) + 1)
            yield bucket * (KEYS // BUCKETS) + len(names), record
        self._check_count(split, len(names))

    def _record(self, example):
        label = self._builder.read_label(example)
        if label is None:
            return None
        image = self._builder.read_image(example)
        check_label(example, image, label, self._builder.label_set.num_classes)
        record = {"name": example.name, "image": image, "label": encode_label(label)}
        for space, label_set in self._builder.further_labels.items():
            other = self._builder.read_further(space, example)
            check_label(example, image, other, label_set.num_classes, space)
            record[label_key(space)] = encode_label(other)
        if self._builder.camera is None:
            return record
        depth = self._builder.read_depth(example)
        if depth.shape != label.shape:
            raise InputError(
                f"{example.image}: depth of shape {depth.shape}, but labels of {label.shape}; use "
                "the original files"
            )
        return {**record, "depth": encode_depth(depth)}

    def _check_count(self, split, count):
        expected = self._builder.expected.get(split, count)
        if count != expected and not self._origin.trust_archives:
            raise InputError(
                f"{self.name}: {count} images in {split!r}, but the original has {expected};"
                " download the archives again, or give --trust_archives"
            )
        if not count:
            raise InputError(f"{self.name}: no image in {split!r}; check the archives")
