"""Write predicted labels as PNG files, plain or in the format of a test server."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.label_sets import CITYSCAPES_IDS
from deeplab_tf.distribute.strategy import is_chief, sum_over_workers, wait_for_workers
from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder, write_file
from deeplab_tf.labels import LabelSet, voc_colors

# Test server -> number of classes of its data set.
SERVERS = {"voc": 21, "voc_comp5": 21, "cityscapes": 19}

# The longest path on Linux, in bytes.
_MAX_PATH = 4096

# Cityscapes' server matches files with images by city, sequence and frame.
_FRAME = re.compile(r"[A-Za-z-]+_\d{6}_\d{6}")


@dataclass(frozen=True)
class PredictionFiles:
    """The files that the predicted labels of a split are written to.

    Without a server, every image gets `NAME.png`, a palette PNG of class indices in the classes'
    colors. For a server, paths and contents follow its rules:

        voc         results/VOC2012/Segmentation/comp6_SPLIT_cls/NAME.png, in VOC's palette
        voc_comp5   the same with comp5, for networks trained only on VOC's own images
        cityscapes  CITY_SEQUENCE_FRAME_pred.png, gray, with Cityscapes' label ids 7, 8, 11, ...

    Args:
      label_set: `LabelSet` of the labels.
      split: name of the list of images, such as "test".
      server: None or one of `SERVERS`.

    Raises:
      InputError: if the server's data set has another number of classes.

    Example:
      >>> files = PredictionFiles(label_set, "test", "voc")
      >>> files.path("2008_000006")
      'results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png'
    """

    label_set: LabelSet
    split: str
    server: str | None = None

    def __post_init__(self):
        num_classes = SERVERS.get(self.server, self.label_set.num_classes)
        if self.label_set.num_classes != num_classes:
            raise InputError(
                f"the server {self.server} takes {num_classes} classes, but the data set has "
                f"{self.label_set.num_classes}; use the data set of the server"
            )

    def path(self, name):
        """Path of the file for an image, relative to the folder of the predictions.

        Args:
          name: the image's name in its list.

        Raises:
          InputError: if Cityscapes' server could not tell which image it belongs to.
        """
        if self.server is None:
            return f"{name}.png"
        name = PurePosixPath(name).name
        if self.server == "cityscapes":
            found = _FRAME.match(name)
            if not found:
                raise InputError(
                    f"image {name!r}: Cityscapes' server expects CITY_SEQUENCE_FRAME, such as "
                    "berlin_000000_000019; keep the names of its archives"
                )
            return f"{found[0]}_pred.png"
        competition = "comp5" if self.server == "voc_comp5" else "comp6"
        return f"results/VOC2012/Segmentation/{competition}_{self.split}_cls/{name}.png"

    def check_names(self, names):
        """Check before a long run that every image gets a file of its own.

        Raises:
          InputError: as for `path`, and if two images would get the same file.
        """
        owners = {}
        for name in names:
            path = self.path(name)
            other = owners.setdefault(path, name)
            if other != name:
                raise InputError(
                    f"the predictions of {other!r} and {name!r} would be the same file, {path}; "
                    "rename one image"
                )

    def write(self, folder, name, label):
        """Write the predicted labels (H, W) uint8 of one image into the folder."""
        if self.server == "cityscapes":
            contents = encode_label(np.uint8(CITYSCAPES_IDS)[label])
        else:
            colors = voc_colors(256) if self.server else self.label_set.color_table()
            contents = encode_label(label, colors)
        write_file(Path(folder) / self.path(name), contents)


@contextlib.contextmanager
def shared_folder(strategy, path, overwrite=False):
    """Create a folder that all workers fill; it appears at `path` when all have succeeded.

    Args:
      strategy: made by `deeplab_tf.distribute.strategy.make_strategy`; every worker must call this.
      path: where to create the folder, on a file system that all workers share.
      overwrite: whether to replace an existing folder that is not empty.

    Yields:
      Path of the folder to fill.

    Raises:
      InputError: as for `deeplab_tf.files.new_folder`, and if a worker does not see the folder.
      tf.errors.OpError: if a worker is lost.
    """
    chief = is_chief(strategy)
    created = new_folder(path, overwrite) if chief else contextlib.nullcontext("")
    with created as folder:
        folder = Path(_text_of_chief(strategy, str(Path(folder).resolve()) if chief else ""))
        if not folder.is_dir():
            raise InputError(
                f"{folder}: created by the first worker but not visible to this one; choose a"
                " folder on a file system that all workers share"
            )
        yield folder
        wait_for_workers(strategy)


def _text_of_chief(strategy, text):
    """Broadcast the chief's text to all workers, as a sum in which the others have zeros."""
    codes = np.zeros(_MAX_PATH, np.int32)
    encoded = np.frombuffer(text.encode(), np.uint8)
    codes[: len(encoded)] = encoded
    received = sum_over_workers(strategy, codes).astype(np.uint8)
    return received.tobytes().rstrip(b"\0").decode()
