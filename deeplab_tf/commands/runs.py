"""What a training run remembers about itself, so that the commands after it need fewer flags.

`run.json` in the folder of a training run holds its data set, its network and the flags that were
given. `train --model_dir=M` continues with these flags; a command with `--model=M` takes the data
set and the settings for testing from it. Flags on the command line replace what is remembered.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.data.datasets import dataset_camera
from deeplab_tf.data.inputs import NEED_CAMERA
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file
from deeplab_tf.head_labels import labels_from
from deeplab_tf.models import is_pretrained, is_start
from deeplab_tf.untrusted import parse_json

RUN_FILE = "run.json"
PATH_FLAGS = (
    "data_dir",
    "weights",
    "init_from",
    "init_hha_from",
    "crf_params",
)  # stored as absolute paths


@dataclass(frozen=True)
class Run:
    """The contents of a `run.json`.

    Attributes:
      dataset, data_dir: the data set, as the flags of these names; the path is absolute.
      splits: {"train": ..., "val": ...}, each a dict with the "list" of images and their number,
        "images"; without "val" if the training did not validate.
      network: what was built: backbone, head, number of classes, stride, scales.
      classes: names and colors of the classes, the arguments of `LabelSet`, or with several score
        heads of `HeadLabels`.
      testing: values of --scales, --pad_to and --input for the commands that apply the network, and
        the "camera" that HHA was computed with.
      flags: the flags that were given, as on the command line, without those that belong to a
        machine and not to the run.
    """

    dataset: str
    data_dir: str
    splits: dict
    network: dict
    classes: dict
    testing: dict
    flags: list

    @classmethod
    def of_training(cls, flags, network, splits, label_set):
        """Describe the training of the parsed flags.

        Args:
          flags: the parsed flags of a training run.
          network: dict that describes the network.
          splits: dict from the name of each list to its examples.
          label_set: `LabelSet` of the data set.
        """
        lists = {"train": flags.train_split, "val": flags.val_split}
        testing = {"scales": flags.test_scales, "pad_to": flags.test_pad_to}
        if flags.input != "rgb":
            testing["input"] = flags.input
        if flags.input in NEED_CAMERA:
            testing["camera"] = str(dataset_camera(flags.dataset, flags.data_dir))
        return cls(
            dataset=flags.dataset,
            data_dir=absolute(flags.data_dir),
            splits={
                role: {"list": name, "images": len(splits[name])}
                for role, name in lists.items()
                if name in splits
            },
            network=network,
            classes=dataclasses.asdict(label_set),
            testing={name: value for name, value in testing.items() if value},
            flags=_portable(flags),
        )

    @classmethod
    def load(cls, folder):
        """Read the `run.json` of a folder; None if there is none.

        Raises:
          InputError: if the file holds something else.
        """
        path = Path(folder) / RUN_FILE
        if not path.is_file():
            return None
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            run = cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})
            run._check()
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not written by training ({error}); delete it, and give the flags again"
            ) from None
        return run

    def _check(self):
        """Raise KeyError, TypeError or ValueError for contents that cannot be used."""
        for field in dataclasses.fields(self):
            if not isinstance(getattr(self, field.name), field.type):
                raise TypeError(f"{field.name!r} is not a {field.type.__name__}")
        if not all(isinstance(flag, str) for flag in self.flags):
            raise TypeError("'flags' is not a list of strings")
        for split in ("train", *self.splits):
            _ = self.splits[split]["list"], self.splits[split]["images"] + 0
        _ = self.label_set, self.answers()

    @property
    def label_set(self):
        """The classes."""
        return labels_from(self.classes)

    def save(self, folder):
        """Write `run.json` into the folder; it is either the old one or complete."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        write_file(Path(folder) / RUN_FILE, f"{text}\n".encode())

    def answers(self):
        """Values of the flags of other commands that the run knows, {name: text}."""
        return {
            "dataset": self.dataset,
            "data_dir": self.data_dir,
            "split": self.splits["val"]["list"] if "val" in self.splits else "val",
            **testing_answers(self.testing),
        }


def testing_answers(testing):
    """Values of flags, {name: text}, from the `testing` of a `Run` or of a `ModelCard`.

    A packed network already has the output stride of its card.
    """
    return {
        name: ",".join(value) if name == "scales" else str(value)
        for name, value in testing.items()
        if value and name != "output_stride"
    }


def is_path(name, value):
    """Whether a flag of this name has a path as its value, not a name such as imagenet."""
    if name == "weights":
        return value not in ("imagenet", "none")
    is_name = name.startswith("init_") and (is_pretrained(value) or is_start(value))
    return name in PATH_FLAGS and not is_name


def without_folders(words):
    """Flags as they are published: files without their folders, and a word for the data set's.

    Args:
      words: list of flags, as on the command line.

    Returns:
      A list of str.

    Example:
      >>> without_folders(["--data_dir=/data/camvid", "--weights=/w/vgg16.h5", "--steps=10"])
      ['--data_dir=DATA_DIR', '--weights=vgg16.h5', '--steps=10']
    """
    found = []
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name == "data_dir":
            word = "--data_dir=DATA_DIR"
        elif is_path(name, value):
            word = f"--{name}={Path(value).name}"
        found.append(word)
    return found


def absolute(path):
    """The absolute path, as a str; links stay links."""
    return str(Path(path).absolute())


def _portable(flags):
    """The given flags, with absolute paths, and without those of the machine."""
    words = []
    for word in given_flags(flags):
        name, _, value = word.removeprefix("--").partition("=")
        if is_path(name, value):
            word = f"--{name}={absolute(value)}"
        # The run may be continued on another machine, which need not be one of several.
        if name not in ("model_dir", "num_threads") and word != "--strategy=multi_worker":
            words.append(word)
    return words
