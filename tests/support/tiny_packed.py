"""Packed networks of one layer, in place of those that take seconds to build."""

from dataclasses import asdict

import pytest
from tiny_model import random_model

from deeplab_tf import pretrained
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import ModelCard, pack, packed

LABELS = LabelSet(("a", "b", "c", "d"), ((200, 0, 0), (0, 150, 0), (0, 0, 250), (90, 90, 0)))
NETWORK = {
    "network": "tiny", "backbone": "one_layer", "head": "plain", "num_classes": 4,
    "output_stride": 8,
}  # fmt: skip
CRF = {"w1": 6.0, "sigma_alpha": 15.0, "sigma_beta": 20.0, "w2": 2.0, "iterations": 3}
NOTES = """Squares of four colors.

## Terms

Free for
everybody.

## Limits

Nothing but squares.
"""


def build_tiny(num_classes, weights, **_):
    assert weights is None  # a packed network reads no other file
    return random_model(num_classes)


def tiny_card(**changes):
    return ModelCard(**{"network": NETWORK, "classes": asdict(LABELS), **changes})


def pack_tiny(path, model=None, **changes):
    """Pack a network of one layer; `changes` are those of its card."""
    pack(model or random_model(), path, tiny_card(**changes))
    return path


@pytest.fixture(scope="module")
def tiny_builder():
    """Cards of the network "tiny" build one layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(packed.BUILDERS, "tiny", build_tiny)
        yield


@pytest.fixture
def shipped(tiny_builder, tmp_path, monkeypatch):
    """A folder of networks that come with the package: squares, with CRF parameters and notes."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / pretrained.SUMS).touch()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    pretrained.record_sum(pack_tiny(folder / "squares.npz", crf=CRF, notes=NOTES))
    monkeypatch.chdir(tmp_path)
    return folder
