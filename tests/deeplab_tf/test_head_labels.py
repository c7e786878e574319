import json
from dataclasses import asdict

import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels, labels_from, read_labels
from deeplab_tf.labels import LabelSet

THINGS = LabelSet.in_voc_colors(("sky", "road", "car"))
GEOMETRY = LabelSet(("flat", "upright"), ((1, 2, 3), (4, 5, 6)))


def test_channels_are_those_of_one_head_after_the_other():
    labels = HeadLabels(("thing", "surface"), (THINGS, GEOMETRY))
    assert labels.num_classes == 5
    assert labels.sizes == {"thing": 3, "surface": 2}
    assert labels.names == (
        "thing/sky", "thing/road", "thing/car", "surface/flat", "surface/upright",
    )  # fmt: skip
    assert labels.of("surface") is GEOMETRY
    assert list(labels.items()) == [("thing", THINGS), ("surface", GEOMETRY)]


def test_saved_labels_are_read_again(tmp_path):
    labels = HeadLabels(("thing", "surface"), (THINGS, GEOMETRY))
    labels.save(tmp_path / "labels.json")
    assert read_labels(tmp_path / "labels.json") == labels
    assert labels_from(json.loads(json.dumps(asdict(labels)))) == labels
    assert labels_from(asdict(THINGS)) == THINGS
    THINGS.save(tmp_path / "one.json")
    assert read_labels(tmp_path / "one.json") == THINGS


def test_files_that_are_something_else_are_named(tmp_path):
    path = tmp_path / "labels.json"
    with pytest.raises(InputError, match="no such file"):
        read_labels(path)
    named = HeadLabels(("a",), (THINGS,))
    hostile = json.dumps({**asdict(named), "heads": ["../a"]})
    for text in ("[]", "not JSON", "[" * 100_000, '{"heads": ["a"], "label_sets": []}', hostile):
        path.write_text(text)
        with pytest.raises(InputError, match=f"{path}: not a label set"):
            read_labels(path)


@pytest.mark.parametrize("heads", [(), ("a",), ("a", "a")])
def test_heads_need_different_names_and_classes_each(heads):
    with pytest.raises(InputError, match="give one label set for each head"):
        HeadLabels(heads, (THINGS, GEOMETRY))


@pytest.mark.parametrize("head", ["../a", "a/b", "", "2d", 3])
def test_names_of_heads_can_be_those_of_folders(head):
    with pytest.raises(InputError, match="give a name of letters, digits and _"):
        HeadLabels(("a", head), (THINGS, GEOMETRY))
