"""The networks that the DeepLab authors and a port released: where they are, and their files here.

A file is downloaded when it is first needed, into the cache folder: that of the environment
variable DEEPLAB_TF_CACHE, else `deeplab-tf` in the user's folder for caches, XDG_CACHE_HOME or
~/.cache. Nobody has published the SHA-256 of these files, so that of the first download is kept in
the folder's `SHA256SUMS`, and later downloads have to have the same.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.data.label_sets import CITYSCAPES, VOC
from deeplab_tf.download import download
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder
from deeplab_tf.labels import LabelSet
from deeplab_tf.pretrained import SUMS, read_sums, sum_of, write_sums

CACHE = "DEEPLAB_TF_CACHE"
_AUTHORS = "https://download.tensorflow.org/models/"
_PORT = "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
_APACHE = "Apache License 2.0, as the authors' code"
_MIT = "MIT License, as the port's code"
_ONE = "output stride 16, one scale"


class Released(NamedTuple):
    """A released network.

    Attributes:
      url: of its file.
      network: backbone and head.
      trained_on: the images.
      figure: the published mean IoU, in words.
      size: of the file in bytes, about.
      label_set: `LabelSet` of its classes.
      testing: values of `scales`, `pad_to` and `max_side` that suit it, as flags of the commands.
      license: terms of its weights.
      sha256: of the file, in hexadecimal; "" if nobody has published it.
    """

    url: str
    network: str
    trained_on: str
    figure: str
    size: float
    label_set: LabelSet
    testing: dict
    license: str = _APACHE
    sha256: str = ""

    @property
    def file_name(self):
        """The last part of the URL."""
        return self.url.rpartition("/")[2]


_MOBILE, _HALF = "mobilenetv2, v3_mobile", "mobilenetv2_half, v3_mobile"
_XCEPTION, _RESNET = "xception65, v3plus", "resnet101, aspp_l"
_VOC_AUG, _VOC_ALL = "COCO, VOC 2012 train_aug", "COCO, VOC 2012 train_aug and trainval"
_CITY, _ADE = "Cityscapes train, fine labels", "ImageNet, ADE20K train"
_AT_513, _WHOLE = {"pad_to": 513}, {}
# Images of ADE20K have sizes of all kinds, which were resized to this length for the networks.
_SIDE_257, _SIDE_513 = ({"pad_to": side, "max_side": side} for side in (257, 513))
_SCALES = {"pad_to": 513, "scales": ["1", "0.75", "0.5"]}


def _authors(file, network, trained_on, figure, size, label_set=VOC, testing=_AT_513):
    url = f"{_AUTHORS}{file}.tar.gz"
    return Released(url, network, trained_on, figure, size * 1e6, label_set, testing)


RELEASED = {
    "voc12_mobilenetv2": _authors(
        *("deeplabv3_mnv2_pascal_train_aug_2018_01_29", _MOBILE, _VOC_AUG),
        *(f"75.32 on VOC 2012 val ({_ONE})", 23),
    ),
    "voc12_mobilenetv2_trainval": _authors(
        *("deeplabv3_mnv2_pascal_trainval_2018_01_29", _MOBILE, _VOC_ALL),
        *("80.25 on VOC 2012 test (output stride 8, six scales, mirrored)", 23),
    ),
    "voc12_mobilenetv2_half": _authors(
        *("deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01", _HALF, _VOC_AUG),
        *(f"70.19 on VOC 2012 val ({_ONE})", 7.6),
    ),
    "voc12_xception65": _authors(
        *("deeplabv3_pascal_train_aug_2018_01_04", _XCEPTION, _VOC_AUG),
        *(f"82.20 on VOC 2012 val ({_ONE})", 439),
    ),
    "voc12_xception65_trainval": _authors(
        *("deeplabv3_pascal_trainval_2018_01_04", _XCEPTION, _VOC_ALL),
        *("87.80 on VOC 2012 test (output stride 8, six scales, mirrored)", 439),
    ),
    "cityscapes_mobilenetv2": _authors(
        *("deeplabv3_mnv2_cityscapes_train_2018_02_05", _MOBILE, f"COCO, {_CITY}"),
        *(f"70.71 on Cityscapes val ({_ONE})", 23, CITYSCAPES, _WHOLE),
    ),
    "cityscapes_xception65": _authors(
        *("deeplabv3_cityscapes_train_2018_02_06", _XCEPTION, f"ImageNet, {_CITY}"),
        *(f"78.79 on Cityscapes val ({_ONE})", 439, CITYSCAPES, _WHOLE),
    ),
    "ade20k_mobilenetv2": _authors(
        *("deeplabv3_mnv2_ade20k_train_2018_12_03", "mobilenetv2, v3plus_mobile", _ADE),
        *(f"32.04 on ADE20K val ({_ONE})", 24.8, LabelSet.generic(151), _SIDE_257),
    ),
    "ade20k_xception65": _authors(
        *("deeplabv3_xception_ade20k_train_2018_05_29", _XCEPTION, _ADE),
        *("45.65 on ADE20K val (output stride 8, six scales, mirrored)", 439),
        *(LabelSet.generic(151), _SIDE_513),
    ),
    "voc12_resnet101": Released(
        *(f"{_PORT}deeplabv2_resnet101_msc-vocaug-20000.pth", _RESNET, _VOC_AUG),
        *("76.65 on VOC 2012 val (scales 0.5, 0.75 and 1)", 177e6, VOC, _SCALES, _MIT),
    ),
}


def released_names():
    """The names of the released networks, a tuple of str."""
    return tuple(RELEASED)


def cache_folder():
    """The folder that downloads are kept in, a Path."""
    if folder := os.environ.get(CACHE):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "deeplab-tf"


def converted_folder(name):
    """The folder in the cache for a network that was converted from its file, a Path."""
    return cache_folder() / name


@contextlib.contextmanager
def released_file(name):
    """The file of a released network, downloaded if it is not in the cache; checked.

    The cache is locked against other processes while `with` lasts. If an `InputError` ends it, a
    file that was just downloaded is deleted, since it was damaged; without an error its SHA-256 is
    recorded.

    Args:
      name: one of `released_names()`.

    Yields:
      Path of the file.

    Raises:
      InputError: if it cannot be downloaded, or is not the file that was released.
    """
    network = RELEASED[name]
    with lock_folder(cache_folder(), "another download") as folder:
        path, table = folder / network.file_name, folder / SUMS
        is_new = not path.is_file()
        if is_new:
            remedy = f"download it elsewhere and save it as {path}"
            part = download(network.url, folder / f"{network.file_name}.part", remedy)
            part.replace(path)
        try:
            digest = _checked_sum(path, network, read_sums(table))
            yield path
        except InputError:
            if is_new:
                path.unlink()
            raise
        write_sums(table, {**read_sums(table), path.name: digest})


def _checked_sum(path, network, known):
    """The file's SHA-256, if it is the published one, else the recorded one if there is one."""
    expected = network.sha256 or known.get(path.name)
    digest = sum_of(path)
    if expected not in (None, digest):
        whose, record = "published for it", ""
        if not network.sha256:
            whose = f"recorded in {path.parent / SUMS}"
            record = ", or that record if the file was changed by its authors"
        raise InputError(
            f"{path}: its SHA-256 is {digest}, but {expected} is {whose}; delete the file{record}, "
            "and try again"
        )
    return digest
