import functools

import cv2
import numpy as np
import pytest
from planted import THREE, blocks, kinds, write_example

from deeplab_tf.data.checks import check_dataset
from deeplab_tf.data.checks.interpolation import between_pixels, interpolated_labels
from deeplab_tf.data.datasets import label_encoding, open_dataset
from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.data.image_files import load_classes
from deeplab_tf.labels import VOID, LabelEncoding, LabelSet

RESIZED = blocks(0, 0, 2, 2)
RESIZED[:, 16] = 1  # what interpolation makes between 0 and 2


@pytest.fixture
def make(tmp_path):
    """`write_example` into a new folder."""
    return functools.partial(write_example, tmp_path)


def check(examples, encoding=None, label_set=THREE):
    return check_dataset({"train": examples}, label_set, encoding, progress=False)


def test_pixels_between_by_hand():
    label = [[0, 0, 3, 5, 5], [0, 0, 4, 5, 5], [0, 0, 5, 5, 5]]
    assert between_pixels(np.uint8(label)) == {3: 1, 4: 1}
    # Beside void there is no higher index; the neighbor of a corner counts, the next but one not.
    assert between_pixels(np.uint8([[0, 3, 255, 255]])) == {}
    assert between_pixels(np.uint8([[0, 9, 9], [9, 3, 9], [9, 9, 9]])) == {3: 1}
    assert between_pixels(np.uint8([[0, 3, 3, 9]])) == {}


def test_a_class_between_others_only(make):
    report = check([make("a", RESIZED)])
    assert kinds(report.errors) == [("error", "label_interpolated")]
    assert report.errors[0].file.endswith("a.png")
    assert "nearly all pixels of 'road' lie between a lower and a higher" in report.errors[0].what
    assert "resize the labels to the nearest index" in report.errors[0].remedy


def test_few_such_labels_are_warnings(make):
    good = [make(f"{index}", blocks(0, 1, 2, 0)) for index in range(9)]
    report = check([make("a", RESIZED), *good])
    assert kinds(report.findings) == [("warning", "label_interpolated")]
    assert check([make("a", RESIZED), *good[:8]]).errors


def test_what_is_no_such_class(make):
    # Beside void, too few pixels, a line between equal classes, and a value that is ignored.
    beside_void, few, line = RESIZED.copy(), blocks(0, 0, 2, 2), blocks(0, 0, 0, 0)
    beside_void[:, 17:] = VOID
    few[:19, 16] = 1
    line[:, 16] = 1
    others = make("b", blocks(0, 1, 2, 1))
    for label in (beside_void, few, line):
        assert check([make("a", label), others]).ok
    few[:20, 16] = 1
    assert not check([make("a", few), others]).ok
    two = LabelSet.in_voc_colors(("sky", "car"))
    assert check([make("a", RESIZED)], LabelEncoding((0, VOID, 1)), two).findings == ()


def resize(label, factor, kind):
    return cv2.resize(label, None, fx=factor, fy=factor, interpolation=kind)


def resized_share(examples, folder, make_label):
    """The share of the labels that are found after `make_label` has changed them."""
    encoding = label_encoding("voc", folder)
    label_set = open_dataset("voc", folder, "train")[1]
    labels = []
    for example in examples:
        label = make_label(load_classes(example, label_set.num_classes, encoding))
        labels.append((example.label, Counts(label)))
    return len(interpolated_labels(labels, label_set, encoding)) / len(labels)


class Counts:
    """What `interpolated_labels` looks at."""

    def __init__(self, label):
        self.between = between_pixels(label)
        self.values = dict(enumerate(np.bincount(label.ravel(), minlength=256).tolist()))


@pytest.fixture(params=["camvid", "msrc21"])
def real(request):
    """The folder of a real data set, and 40 of its examples."""
    folder = request.getfixturevalue(request.param)
    return folder, evenly_spaced(open_dataset("voc", folder, "train")[0], 40)


def test_real_labels_are_not_found(real):
    folder, examples = real
    assert resized_share(examples, folder, lambda label: label) == 0
    for factor in (0.2, 0.5):
        nearest = functools.partial(resize, factor=factor, kind=cv2.INTER_NEAREST)
        assert resized_share(examples, folder, nearest) == 0


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.5, 4])
def test_real_labels_that_were_resized_are_found(real, factor):
    folder, examples = real

    def interpolated(label):
        without_void = np.where(label == VOID, np.uint8(0), label)
        return resize(without_void, factor, cv2.INTER_LINEAR)

    assert resized_share(examples, folder, interpolated) > 0.3
