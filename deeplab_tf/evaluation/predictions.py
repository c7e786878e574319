"""Predicted labels as PNG files, plain or as the test servers want them."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from deeplab_tf.data.image_files import encode_label
from deeplab_tf.data.label_sets import CITYSCAPES_IDS
from deeplab_tf.distribute.strategy import is_chief, sum_over_workers, wait_for_workers
from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder, write_file
from deeplab_tf.labels import LabelSet, voc_colors

# Classes of the data sets behind the servers.
SERVERS = {"voc": 21, "voc_comp5": 21, "cityscapes": 19}

# Of a path, in bytes, as Linux has it.
MOST_LETTERS = 4096

# City, sequence and frame are how Cityscapes' server finds the image that a file belongs to.
_FRAME = re.compile(r"[A-Za-z-]+_\d{6}_\d{6}")


@dataclass(frozen=True)
class PredictionFiles:
    """The files that the labels of a split are written to.

    Without a server each image has `NAME.png`, a palette PNG of class indices in the classes'
    colours. For a server the files lie and are called as its rules say:

        voc         results/VOC2012/Segmentation/comp6_SPLIT_cls/NAME.png, in VOC's palette
        voc_comp5   the same under comp5, for networks trained on VOC's own images alone
        cityscapes  CITY_SEQUENCE_FRAME_pred.png, grey, with Cityscapes' label ids 7, 8, 11, ...

    Args:
      label_set: `LabelSet` of the labels.
      split: name of the list of the images, such as "test".
      server: None or one of `SERVERS`.

    Raises:
      InputError: where the server's data set has other classes.

    Example:
      >>> files = PredictionFiles(label_set, "test", "voc")
      >>> files.path("2008_000006")
      'results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png'
    """

    label_set: LabelSet
    split: str
    server: str | None = None

    def __post_init__(self):
        wanted = SERVERS.get(self.server, self.label_set.num_classes)
        if self.label_set.num_classes != wanted:
            raise InputError(
                f"the server {self.server} takes {wanted} classes, but the data set has "
                f"{self.label_set.num_classes}; give the data set of the server"
            )

    def path(self, name):
        """Path of an image's file within the folder of the predictions.

        Args:
          name: of the image, as its list has it.

        Raises:
          InputError: where Cityscapes' server could not tell which image is meant.
        """
        if self.server is None:
            return f"{name}.png"
        name = PurePosixPath(name).name
        if self.server == "cityscapes":
            return self._cityscapes_path(name)
        competition = "comp5" if self.server == "voc_comp5" else "comp6"
        return f"results/VOC2012/Segmentation/{competition}_{self.split}_cls/{name}.png"

    def check_names(self, names):
        """Find out before the work whether every image has a file of its own.

        Raises:
          InputError: as `path`, and where two images would have the same file.
        """
        owners = {}
        for name in names:
            path = self.path(name)
            other = owners.setdefault(path, name)
            if other != name:
                raise InputError(
                    f"the predictions of {other!r} and {name!r} would be one file, {path}; "
                    "rename one"
                )

    def write(self, folder, name, label):
        """Write the labels (H, W) uint8 of one image into the folder of the predictions."""
        write_file(Path(folder) / self.path(name), self._encode(label))

    @staticmethod
    def _cityscapes_path(name):
        found = _FRAME.match(name)
        if not found:
            raise InputError(
                f"image {name!r}: Cityscapes' server knows images as CITY_SEQUENCE_FRAME, such as "
                "berlin_000000_000019; keep the names of its archives"
            )
        return f"{found[0]}_pred.png"

    def _encode(self, label):
        if self.server == "cityscapes":
            return encode_label(np.uint8(CITYSCAPES_IDS)[label])
        return encode_label(label, voc_colors(256) if self.server else self.label_set.color_table())


@contextlib.contextmanager
def shared_folder(strategy, path, overwrite=False):
    """A folder that all workers fill, and that gets its name when all have, without an error.

    Args:
      strategy: what `deeplab_tf.distribution.make_strategy` made; every worker has to call this.
      path: where the folder shall be, on a file system that all workers see.
      overwrite: whether a folder that lies there and holds something is replaced.

    Yields:
      Path of the folder to fill.

    Raises:
      InputError: as `deeplab_tf.files.new_folder`, and where a worker does not see the folder.
      tf.errors.OpError: where a worker is lost.
    """
    chief = is_chief(strategy)
    filled = new_folder(path, overwrite) if chief else contextlib.nullcontext("")
    with filled as folder:
        folder = Path(_told_by_chief(strategy, str(Path(folder).resolve()) if chief else ""))
        if not folder.is_dir():
            raise InputError(
                f"{folder}: made by the first worker, but not seen by this one; choose a folder on "
                "a file system that all workers share"
            )
        yield folder
        wait_for_workers(strategy)


def _told_by_chief(strategy, text):
    # The sum of what the chief says and of the others' silence.
    letters = np.zeros(MOST_LETTERS, np.int32)
    contents = np.frombuffer(text.encode(), np.uint8)
    letters[: len(contents)] = contents
    told = sum_over_workers(strategy, letters).astype(np.uint8)
    return told.tobytes().rstrip(b"\0").decode()
