"""The commands whose faults are tried, on inputs that take a second, and what they should leave.

The network has three layers, so that a trial is about files and not about arithmetic: training and
import_weights get it in place of the one that their flags would build; every file is written by the
code that users run. It is that of the tests, whose folder tests/support must be on the path.
"""

import io
import tarfile
from typing import NamedTuple

import keras
from tiny_training import tiny

from deeplab_tf.commands import import_weights, train
from deeplab_tf.commands.app import main
from deeplab_tf.data.prepare.voc12 import Voc12
from deeplab_tf.data.synthetic import CLASSES, write_synthetic
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import build_deeplab
from deeplab_tf.models.released.imported import Imported

STEPS = 12
_TRAINING = (
    "--dataset=voc", "--backbone=mobilenetv2", "--head=large_fov", "--weights=none",
    f"--steps={STEPS}", "--batch_size=2", "--crop_size=33", "--checkpoint_every=2",
    "--eval_every=3", "--eval_images=1", "--log_every=2", "--deterministic",
)  # fmt: skip
_POINTS = ("w1=4,5", "sigma_alpha=30,60", "sigma_beta=3", "w2=3", "sigma_gamma=3")


class Command(NamedTuple):
    """A command under trial.

    Args:
      name: of the command.
      flags: its flags; {inputs} and {out} stand for the folders of inputs and of results.
      folders: results that are a folder, relative to {out}: their files belong together. A name
        that ends with /* stands for all folders in one.
      overwrite: whether it takes --overwrite.
      again: whether the same command does its work again when its results are complete; False: it
        refuses, in one line.
    """

    name: str
    flags: tuple
    folders: tuple = ()
    overwrite: bool = False
    again: bool = True

    def action(self, inputs, out, more=()):
        """A function that runs the command and returns its exit status."""
        flags = [flag.format(inputs=inputs, out=out) for flag in (*self.flags, *more)]

        def run():
            train.build_network = lambda flags, num_classes, read_weights=True: tiny(num_classes)
            import_weights.read_network = lambda flags: imported(inputs)
            return main([self.name, *flags])

        return run


_MODEL = "--model={inputs}/model"
_DATA = ("--dataset=voc", "--data_dir={inputs}/data")
_IMAGES = ("{inputs}/data/JPEGImages/val_0000.jpg", "{inputs}/data/JPEGImages/val_0001.jpg")
COMMANDS = {
    command.name: command
    for command in (
        Command("train", (*_TRAINING, _DATA[1], "--model_dir={out}/run")),
        Command(
            "prepare-data",
            ("--dataset=voc12", "--manual_dir={inputs}/archives", "--download_dir={out}/downloads",
             "--data_dir={out}/data", "--trust_archives"),
            ("downloads/extracted/*", "data/voc12/*"),
            overwrite=True,
        ),
        Command("export", (_MODEL, "--out={out}/exported"), ("exported",), True, again=False),
        Command(
            "search-crf",
            (_MODEL, *_DATA, "--out_dir={out}/search", "--rounds=0",
             *(f"--grid_{point}" for point in _POINTS)),
        ),
        Command(
            "evaluate",
            (_MODEL, *_DATA, "--predictions_out={out}/predictions", "--json_out={out}/scores.json",
             "--panel_out={out}/panel.png"),
            ("predictions",),
            overwrite=True,
            again=False,
        ),
        Command(
            "predict",
            (_MODEL, "--out_dir={out}/labels", "--panel_out={out}/panel.png",
             "--probabilities_out={out}/classes", "--probabilities_format=png", *_IMAGES),
            ("classes/*",),
        ),
        Command(
            "pack",
            ("--model={inputs}/large", "--backbone=mobilenetv2", "--head=large_fov",
             "--out={out}/packed.npz"),
            overwrite=True,
            again=False,
        ),
        Command(
            "import-weights",
            ("--caffemodel=none", "--out={out}/imported/best.keras"),
            overwrite=True,
            again=False,
        ),
    )
}  # fmt: skip


def imported(inputs):
    """What import_weights gets in place of a network of a file."""
    network = keras.saving.load_model(inputs / "model" / "best.keras")
    return Imported(network, {"conv": ("conv",)}, (), ())


def write_inputs(folder, seed):
    """Write the data set, its archive, and two networks.

    Args:
      folder: Path, which is created.
      seed: of the images and the weights.

    Returns:
      0, the exit status.
    """
    write_synthetic(folder / "data", 4, 2, (128, 128), seed)
    _write_archive(folder / "data", folder / "archives")
    keras.utils.set_random_seed(seed)
    (folder / "model").mkdir()
    tiny(len(CLASSES)).save(folder / "model" / "best.keras")
    (folder / "large").mkdir()
    large = build_deeplab("mobilenetv2", "large_fov", len(CLASSES), weights=None)
    large.save(folder / "large" / "best.keras")
    for name in ("model", "large"):
        LabelSet.in_voc_colors(CLASSES).save(folder / name / "labels.json")
    return 0


def _write_archive(data, folder):
    """Pack a data set as VOC 2012's archive."""
    folder.mkdir()
    (archive,) = Voc12("voc12", None).archives.values()
    with tarfile.open(folder / archive.file_name, "w") as tar:
        for path in sorted(data.rglob("*.*")):
            if path.name != "classes.txt":
                tar.add(path, f"VOCdevkit/VOC2012/{path.relative_to(data)}")
        lists = sorted((data / "ImageSets" / "Segmentation").glob("*.txt"))
        contents = b"".join(path.read_bytes() for path in lists)
        member = tarfile.TarInfo("VOCdevkit/VOC2012/ImageSets/Segmentation/trainval.txt")
        member.size = len(contents)
        tar.addfile(member, io.BytesIO(contents))
