"""The networks that the DeepLab authors and a port released: where they are, and their files here.

A file is downloaded when it is first needed, into the cache folder: that of the environment
variable DEEPLAB_TF_CACHE, else `deeplab-tf` in the user's folder for caches, XDG_CACHE_HOME or
~/.cache. Of most files nobody has published the SHA-256, so that of the first download is kept in
the folder's `SHA256SUMS`, and later downloads have to have the same.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from crf import CRFParams
from deeplab_tf.data.label_sets import ADE20K, CITYSCAPES, VOC
from deeplab_tf.download import download
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder
from deeplab_tf.labels import LabelSet
from deeplab_tf.pretrained import SUMS, read_sums, sum_of, write_sums

CACHE = "DEEPLAB_TF_CACHE"
_AUTHORS = "https://download.tensorflow.org/models/"
_PORT = "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
_TORCHVISION = "https://download.pytorch.org/models/"
_APACHE = "Apache License 2.0, as the authors' code"
_MIT = "MIT License, as the port's code"
_BSD = "BSD 3-Clause License, as torchvision's code"
_ONE = "output stride 16, one scale"
_COCO_VOC = "COCO train2017, classes of VOC 2012"


class Released(NamedTuple):
    """A released network.

    Attributes:
      url: of its file.
      network: backbone and head; of an ImageNet classifier the backbone alone.
      trained_on: the images.
      figure: the published mean IoU, in words; "" for a start of trainings.
      size: of the file in bytes, about.
      label_set: `LabelSet` of its classes; None for a start.
      testing: values of `scales`, `pad_to` and `max_side` that suit it, as flags of the commands.
      license: terms of its weights.
      sha256: of the file, in hexadecimal, or as much of its beginning as is published; "" if
        nothing is.
      crf: `CRFParams` that suit it; None: the defaults, which are those of DeepLab v2.
    """

    url: str
    network: str
    trained_on: str
    figure: str
    size: float
    label_set: LabelSet | None
    testing: dict
    license: str = _APACHE
    sha256: str = ""
    crf: CRFParams | None = None

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
# Weaker than the defaults; the best of those that
# tests/deeplab_tf/models/released/test_quantized_borders.py compares.
_VOC_CRF = CRFParams(w1=2, sigma_alpha=20, sigma_beta=4, w2=1, iterations=5)


def _authors(file, network, trained_on, figure, size, label_set=VOC, testing=_AT_513):
    url, crf = f"{_AUTHORS}{file}.tar.gz", _VOC_CRF if label_set is VOC else None
    return Released(url, network, trained_on, figure, size * 1e6, label_set, testing, crf=crf)


def _torchvision(file, backbone, miou, size):
    network, testing = (
        f"{backbone}_torch, aspp_v3_torch",
        {"max_side": 700},
    )  # 520 on the other side
    figure = f"{miou} on COCO val2017, classes of VOC 2012 (one scale)"
    about = network, _COCO_VOC, figure, size * 1e6, VOC, testing, _BSD
    return Released(f"{_TORCHVISION}{file}.pth", *about, sha256=file.rpartition("-")[2])


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
        *(f"32.04 on ADE20K val ({_ONE})", 24.8, ADE20K, _SIDE_257),
    ),
    "ade20k_xception65": _authors(
        *("deeplabv3_xception_ade20k_train_2018_05_29", _XCEPTION, _ADE),
        *("45.65 on ADE20K val (output stride 8, six scales, mirrored)", 439),
        *(ADE20K, _SIDE_513),
    ),
    "voc12_resnet101": Released(
        *(f"{_PORT}deeplabv2_resnet101_msc-vocaug-20000.pth", _RESNET, _VOC_AUG),
        *("76.65 on VOC 2012 val (scales 0.5, 0.75 and 1)", 177e6, VOC, _SCALES, _MIT),
    ),
    "coco_voc_mobilenetv3": _torchvision(
        "deeplabv3_mobilenet_v3_large-fc3c493d", "mobilenetv3large", 60.3, 42.3
    ),
    "coco_voc_resnet50": _torchvision("deeplabv3_resnet50_coco-cd0a2569", "resnet50", 66.4, 161),
    "coco_voc_resnet101": _torchvision("deeplabv3_resnet101_coco-586e9e4e", "resnet101", 67.4, 233),
}


def _start(file, network, trained_on, size):
    url = f"{_AUTHORS}{file}.tar.gz"
    return Released(url, network, trained_on, "", size * 1e6, None, {})


STARTS = {
    "xception41_imagenet": _start("xception_41_2018_05_09", "xception41", "ImageNet", 288),
    "xception65_imagenet": _start("deeplabv3_xception_2018_01_04", "xception65", "ImageNet", 447),
    "xception71_imagenet": _start("xception_71_2018_05_09", "xception71", "ImageNet", 474),
    "resnet101beta_imagenet": _start("resnet_v1_101_2018_05_04", "resnet101_beta", "ImageNet", 477),
    "xception65_coco": _start(
        *("xception_65_coco_pretrained_2018_10_02", _XCEPTION, "ImageNet, COCO", 292)
    ),
}
"""Networks to start trainings from, which have no class scores."""


def start_names():
    """The names of the networks to start from, a tuple of str."""
    return tuple(STARTS)


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
      name: one of `released_names()` or `start_names()`.

    Yields:
      Path of the file.

    Raises:
      InputError: if it cannot be downloaded, or is not the file that was released.
    """
    network = RELEASED.get(name) or STARTS[name]
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
    """The file's SHA-256, if it is the published and the recorded one, as far as there are any."""
    digest, recorded = sum_of(path), known.get(path.name, "")
    table, changed = path.parent / SUMS, ", or that record if the file was changed by its authors"
    for expected, whose, remedy in (
        (network.sha256, "published for it", ""),
        (recorded, f"recorded in {table}", changed),
    ):
        if not digest.startswith(expected):
            raise InputError(
                f"{path}: its SHA-256 is {digest}, but {expected} is {whose}; delete the file"
                f"{remedy}, and try again"
            )
    return digest
