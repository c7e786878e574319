from pathlib import Path

import numpy as np
import pytest

from deeplab_tf.data import label_sets
from deeplab_tf.data.datasets import LABEL_SETS
from deeplab_tf.labels import VOID


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("voc12", 21, "background", "tvmonitor"),
        ("voc12_aug", 21, "background", "tvmonitor"),
        ("voc11_sbd", 21, "background", "tvmonitor"),
        ("coco_voc", 21, "background", "tvmonitor"),
        ("pascal_context", 60, "background", "wood"),
        ("person_part", 7, "background", "lower_legs"),
        ("cityscapes", 19, "road", "bicycle"),
        ("camvid", 11, "sky", "bicyclist"),
        ("msrc21", 21, "building", "boat"),
    ],
)
def test_each_data_set_has_its_classes(name, count, first, last):
    label_set = LABEL_SETS[name]
    assert label_set.num_classes == count
    assert (label_set.names[0], label_set.names[-1]) == (first, last)


@pytest.mark.parametrize("label_set", LABEL_SETS.values(), ids=LABEL_SETS)
def test_colors_tell_the_classes_and_void_apart(label_set):
    table = label_set.color_table()
    used = [tuple(table[index]) for index in (*range(label_set.num_classes), VOID)]
    assert len(set(used)) == len(used)


def test_ade20k_has_the_classes_of_its_benchmark_and_everything_else():
    """The numbers and colors of some lines of its objectInfo150.txt and color150."""
    found = label_sets.ADE20K
    assert found.num_classes == 151
    for index, name, color in [
        (0, "other", (0, 0, 0)),
        (1, "wall", (120, 120, 120)),
        (3, "sky", (6, 230, 230)),
        (13, "person", (150, 5, 61)),
        (45, "chest of drawers", (6, 51, 255)),
        (59, "screen door", (0, 173, 255)),
        (90, "television", (0, 255, 194)),
        (137, "traffic light", (41, 0, 255)),
        (150, "flag", (92, 0, 255)),
    ]:
        assert (found.names[index], found.colors[index]) == (name, color)
    # Road and skyscraper look the same.
    assert found.colors[7] == found.colors[49] and len(set(found.colors)) == 150


def test_voc_objects_stand_at_the_same_places_in_pascal_context():
    differing = {
        (voc, context)
        for voc, context in zip(
            label_sets.VOC.names, label_sets.PASCAL_CONTEXT.names[:21], strict=True
        )
        if voc != context
    }
    assert differing == {("diningtable", "table")}


def test_street_scenes_have_no_background_and_a_black_void():
    for label_set in (label_sets.CITYSCAPES, label_sets.CAMVID):
        assert "background" not in label_set.names
        np.testing.assert_array_equal(label_set.color_table()[VOID], [0, 0, 0])


def test_camvid_has_the_names_of_the_real_data(camvid):
    lines = Path(camvid / "classes.txt").read_text().split()
    assert label_sets.CAMVID.names == tuple(lines)
