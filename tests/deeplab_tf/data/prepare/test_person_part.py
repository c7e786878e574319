from pathlib import Path

import numpy as np
import pytest
from tiny_archives import read_all
from tiny_parts import (
    contents_of,
    mat_file,
    part_annotation,
    prepare_tiny,
    read_examples,
    write_pascal_part,
    write_voc2010,
)

from deeplab_tf.data.label_sets import PERSON_PART
from deeplab_tf.data.prepare.person_part import PART_LABELS, PersonPart, draw, read_parts
from deeplab_tf.data.records import read_prepared_labels
from deeplab_tf.errors import InputError

SHAPE = (8, 12)
HEAD, TORSO, UPPER_ARMS, LOWER_ARMS, UPPER_LEGS, LOWER_LEGS = range(1, 7)


def _box(top, left, bottom, right):
    box = np.zeros(SHAPE, np.uint8)
    box[top:bottom, left:right] = 1
    return box


NOTHING, EVERYTHING = _box(0, 0, 0, 0), _box(0, 0, *SHAPE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mat"


def _label(path, objects, shape=SHAPE):
    path.write_bytes(part_annotation("a", objects))
    return draw(read_parts(path), shape, path)


def test_all_24_parts_are_merged():
    assert len(PART_LABELS) == 24
    counts = np.bincount(list(PART_LABELS.values()), minlength=7)
    np.testing.assert_array_equal(counts, [0, 10, 2, 2, 4, 2, 4])
    examples = {"hair": HEAD, "neck": TORSO, "luarm": UPPER_ARMS, "rhand": LOWER_ARMS}
    examples |= {"ruleg": UPPER_LEGS, "lfoot": LOWER_LEGS}
    assert {part: PART_LABELS[part] for part in examples} == examples


def test_parts_of_all_persons_are_drawn_and_nothing_else(path):
    objects = [
        ("dog", EVERYTHING, {"head": _box(0, 0, 8, 2), "torso": _box(0, 2, 8, 4)}),
        ("person", EVERYTHING, {"hair": _box(0, 4, 2, 6), "neck": _box(2, 4, 3, 6)}),
        ("person", EVERYTHING, {"llarm": _box(0, 8, 4, 9), "rfoot": _box(4, 8, 6, 9)}),
    ]
    expected = np.zeros(SHAPE, np.uint8)
    expected[0:2, 4:6], expected[2:3, 4:6] = HEAD, TORSO
    expected[0:4, 8:9], expected[4:6, 8:9] = LOWER_ARMS, LOWER_LEGS
    np.testing.assert_array_equal(_label(path, objects), expected)


def test_the_later_part_is_in_front(path):
    parts = {"torso": _box(0, 0, 8, 8), "ruarm": _box(0, 4, 8, 12)}
    label = _label(path, [("person", EVERYTHING, parts)])
    np.testing.assert_array_equal(label, [[TORSO] * 4 + [UPPER_ARMS] * 8] * 8)


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [("dog", EVERYTHING, {"head": EVERYTHING})],
        [("person", EVERYTHING, {})],
        [("person", EVERYTHING, {"head": NOTHING})],
    ],
)
def test_without_labelled_parts_all_is_background(path, objects):
    np.testing.assert_array_equal(_label(path, objects), NOTHING)


def test_an_unknown_part_of_a_person_is_an_error(path):
    with pytest.raises(InputError, match=r"a\.mat: unknown part 'tail' of a person"):
        _label(path, [("person", EVERYTHING, {"tail": EVERYTHING})])


def test_a_mask_of_another_size_is_an_error(path):
    with pytest.raises(InputError, match=r"a\.mat: mask of 12x8 pixels, but the image has 10x8"):
        _label(path, [("person", EVERYTHING, {"head": EVERYTHING})], shape=(8, 10))


@pytest.mark.parametrize("variables", [{"x": 1.0}, {"anno": 1.0}, {"anno": {"imname": "a"}}])
def test_files_of_another_form_are_errors(path, variables):
    path.write_bytes(mat_file(variables))
    with pytest.raises(InputError, match=r"a\.mat: .*; use the original file"):
        read_parts(path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder, images, `Prepared`).

    Images with parts: "b" and "a" of train, "c" of val; without: "dog", "none", "empty".
    """
    folder = tmp_path_factory.mktemp("person_part")
    annotations = {
        name: [("person", EVERYTHING, {"head": _box(0, 0, 8, width)})]
        for width, name in enumerate("abc", start=1)
    }
    annotations["dog"] = [("dog", EVERYTHING, {"head": EVERYTHING})]
    annotations["none"] = [("person", EVERYTHING, {})]
    annotations["empty"] = [("person", EVERYTHING, {"head": NOTHING})]
    write_pascal_part(folder / "archives", annotations)
    lists = {"train": ["b", "dog", "a", "none"], "val": ["empty", "c"]}
    images = write_voc2010(folder / "archives", lists, SHAPE)
    return folder, images, prepare_tiny("person_part", folder)


@pytest.fixture
def contents(prepared):
    """The contents of the archives, {key: Path}."""
    return contents_of(prepared[0], PersonPart.archives)


def test_images_with_parts_become_records(prepared):
    folder, images, done = prepared
    assert done.counts == {"train": 2, "val": 1, "trainval": 3}
    assert read_prepared_labels(folder / "data", "person_part") == PERSON_PART
    both = read_examples(folder, "person_part", "trainval")
    assert list(both) == ["b", "a", "c"]
    image, label = both["b"]
    assert image == images["b"]
    np.testing.assert_array_equal(label, [[HEAD] * 2 + [0] * 10] * 8)


def _lists(folder, train, val):
    paths = {"train_list": folder / "train.txt", "val_list": folder / "val.txt"}
    for path, text in zip(paths.values(), (train, val), strict=True):
        path.write_text(text, encoding="utf-8")
    return {name: str(path) for name, path in paths.items()}


def test_lists_of_names_choose_the_images(tmp_path, contents):
    builder = PersonPart("person_part", _lists(tmp_path, "\ufeffc.jpg\nnone\n", "a\n"))
    labels = read_all(builder, contents)
    assert {split: list(found) for split, found in labels.items()} == {
        "train": ["c", "none"],
        "val": ["a"],
    }
    np.testing.assert_array_equal(labels["train"]["none"], NOTHING)


def test_a_list_that_changed_is_not_taken_for_prepared(tmp_path, prepared):
    (tmp_path / "archives").symlink_to(prepared[0] / "archives")
    lists = _lists(tmp_path, "a\n", "c\n")
    assert prepare_tiny("person_part", tmp_path, **lists).counts["train"] == 1
    assert not prepare_tiny("person_part", tmp_path, **lists).is_new
    Path(lists["train_list"]).write_text("a\nb\n")
    with pytest.raises(InputError, match="lists or classes have changed since it was prepared"):
        prepare_tiny("person_part", tmp_path, **lists)


def test_one_list_alone_is_an_error():
    with pytest.raises(InputError, match="--train_list and --val_list: give both or none"):
        PersonPart("person_part", {"val_list": "val.txt"})


def test_a_missing_list_is_an_error(contents):
    lists = {"train_list": "nowhere.txt", "val_list": "nowhere.txt"}
    with pytest.raises(InputError, match=r"nowhere\.txt: No such file"):
        PersonPart("person_part", lists).splits(contents)


def test_an_image_without_annotation_is_an_error(tmp_path, contents):
    builder = PersonPart("person_part", _lists(tmp_path, "x\n", "c\n"))
    with pytest.raises(InputError, match=r"Annotations_Part/x\.mat: No such file"):
        read_all(builder, contents)
