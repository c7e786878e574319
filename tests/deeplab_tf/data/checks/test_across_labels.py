import functools
import random

import numpy as np
import planted
import pytest
from planted import SIDE, THREE, blocks, kinds, write_example

from deeplab_tf.data.checks import ERROR, WARNING, check_dataset, offenders_picture
from deeplab_tf.data.checks.across_labels import mixed_labels
from deeplab_tf.data.checks.inspection import Inspection
from deeplab_tf.data.checks.label_values import gray_shades
from deeplab_tf.data.checks.picture import NO_CLASS, WIDTH
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.labels import LabelEncoding, LabelSet, voc_colors

COLORS = voc_colors(256)


def look(color, values):
    """What is known of a label of these values; of palette labels in VOC's colors."""
    palette = {COLORS[v].tobytes(): v for v in values} if color == "palette" else {}
    pixels = dict.fromkeys([0, *values], 1)
    return Inspection((), pixels, color, False, palette, pixels, {})


def found(looks, num_classes):
    """The severities that `mixed_labels` finds in some labels."""
    labels = [(f"{number}.png", look) for number, look in enumerate(looks)]
    return {finding.severity for finding in mixed_labels(labels, num_classes)}


def test_a_shade_that_is_an_index_proves_nothing():
    # 15, a person, is also the gray shade of boats' (0, 0, 128); 20, a tv, of cats' (64, 0, 0).
    assert {14, 15, 19, 20} < gray_shades(COLORS[:21])
    palette = look("palette", range(1, 21))
    for values in ([15], [14, 15, 19, 20]):
        assert found([palette, look("gray", values)], 21) == {WARNING}


def test_many_shades_and_nothing_else_are_no_accident():
    palette, shades = look("palette", range(1, 7)), [15, 38, 75, 90, 113]
    assert found([palette, look("gray", shades)], 157) == {ERROR}
    assert found([palette, look("gray", [*shades, 100])], 157) == {WARNING}
    assert found([palette, look("gray", shades[:2])], 157) == {WARNING}
    # Nor where most other gray labels hold indices.
    others = [look("gray", [1, 2]), look("gray", [3])]
    assert found([palette, look("gray", shades), *others], 157) == {WARNING}
    # Without palette labels there is nothing mixed.
    assert found([look("gray", shades)], 157) == set()


@pytest.mark.parametrize("num_classes", [11, 21, 60, 150, 255])
@pytest.mark.parametrize("palette_share", [0.02, 0.14, 0.5, 0.9])
def test_no_sample_of_indices_is_taken_for_shades(num_classes, palette_share):
    # As of VOC with SBD's labels in gray: in each label a few classes, some of them often.
    rng = random.Random(f"{num_classes} {palette_share}")
    classes = range(1, num_classes)
    weights = [1 / index for index in rng.sample(classes, len(classes))]
    for _ in range(40):
        size = rng.choice([2, 8, 64])
        looks = [
            look(
                "palette" if rng.random() < palette_share else "gray",
                set(rng.choices(classes, weights, k=rng.randint(1, 5))),
            )
            for _ in range(size)
        ]
        assert found(looks, num_classes) <= {WARNING}


def test_files_of_voc_with_those_of_sbd(tmp_path):
    make = functools.partial(write_example, tmp_path)
    voc = [make(f"v{index}", blocks(0, index, 255, 0)) for index in (1, 2, 8, 12)]
    sbd = [make(f"s{index}", planted.png(blocks(0, index))) for index in range(1, 21)]
    report = check_dataset({"train": voc + sbd}, VOC, progress=False)
    assert kinds(report.findings) == [("warning", "label_mix")]
    assert "palette label among others (20 gray, 4 palette)" in report.findings[0].what


def test_shades_beyond_the_classes_are_errors_with_their_remedy(tmp_path):
    make = functools.partial(write_example, tmp_path)
    index = np.repeat(np.uint8([[0, 1, 2, 15]]), SIDE // 4, 1).repeat(SIDE, 0)
    gray = planted.png((COLORS[index] @ [0.299, 0.587, 0.114]).round().astype(np.uint8))
    label_set = LabelSet.in_voc_colors([f"class {number}" for number in range(16)])
    report = check_dataset(
        {"train": [make("a", index), make("b", gray)]}, label_set, progress=False
    )
    assert kinds(report.errors) == [("error", "label_value")]
    assert "these are the gray shades of the classes' colors" in report.errors[0].remedy


# Void

PLAIN = np.zeros((SIDE, SIDE), np.uint8)


@pytest.fixture
def make(tmp_path):
    """`write_example` into a new folder."""
    return functools.partial(write_example, tmp_path)


def check(examples):
    return check_dataset({"train": examples}, THREE, progress=False)


@pytest.mark.parametrize(
    "masks", [[(0, 255), (255, 255)], [(0, 0), (255, 255)], [(0, 255), (0, 0)], [(0, 255)]]
)
def test_masks_of_0_and_255_are_objects_even_where_all_is_255(make, masks):
    examples = [make(f"{index}", blocks(*mask)) for index, mask in enumerate(masks)]
    errors = check(examples).errors
    assert errors[0].kind == "void_object"
    assert "write that class's index instead, such as 1" in errors[0].remedy
    assert {error.remedy for error in errors} == {errors[0].remedy}


def test_thin_objects_drawn_as_255(make):
    # A line of two pixels, such as a crack, fills no area.
    label = PLAIN.copy()
    label[7:9] = 255
    assert kinds(check([make("a", label), make("b", PLAIN)]).errors) == [("error", "void_object")]


def test_a_class_that_is_named_as_void(make):
    label_set = LabelSet.in_voc_colors(("Unlabelled", "road", "car"))
    report = check_dataset({"train": [make("a", blocks(0, 1, 2, 2))]}, label_set, progress=False)
    assert kinds(report.findings) == [("warning", "class_ignored")]
    assert report.findings[0].remedy.endswith("'Unlabelled void'")


def test_values_marked_as_void_count_as_void(make):
    # 1 is ignored, so 2 is the index 1; 3 has no line.
    encoding, label_set = LabelEncoding((0, 255, 1)), LabelSet.in_voc_colors(("sky", "car"))
    examples = [make("a", blocks(0, 1, 2, 255)), make("b", blocks(1, 1))]
    report = check_dataset({"train": examples}, label_set, encoding, progress=False)
    assert kinds(report.findings) == [("error", "void_only")]
    assert "nothing but ignored values (1)" in report.findings[0].what
    quarter = SIDE * SIDE // 4
    assert report.counts["train"].pixels == {0: quarter, 1: quarter, 255: 6 * quarter}
    wrong = make("c", blocks(0, 3))
    (finding,) = check_dataset({"train": [wrong]}, label_set, encoding, progress=False).errors
    assert "label values 3 of no class (3 classes: 0..2, 255 = void)" in finding.what


def test_a_picture_of_values_marked_as_void(make):
    # The left half is value 2, class 1; the right half has no class.
    encoding, label_set = LabelEncoding((0, 255, 1)), LabelSet.in_voc_colors(("sky", "car"))
    examples = {"train": [make("a", blocks(2, 3))]}
    picture = offenders_picture(check_dataset(examples, label_set, encoding, progress=False))
    for color in (label_set.colors[1], NO_CLASS):
        assert (picture == color).all(2).sum() >= WIDTH * WIDTH // 2
