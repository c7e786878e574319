import json

import numpy as np
import pytest
from tiny_archives import read_all
from tiny_parts import coco_content, contents_of, prepare_tiny, read_examples, write_coco

from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.coco_voc import (
    COCO_NAMES,
    CocoVoc,
    count_object_pixels,
    draw,
    load_source,
    read_regions,
)
from deeplab_tf.data.records import read_prepared_labels
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# The ids that COCO has for the VOC classes, and for one that VOC does not have.
IDS = {
    "person": 1,
    "bicycle": 2,
    "car": 3,
    "motorcycle": 4,
    "airplane": 5,
    "bus": 6,
    "train": 7,
    "boat": 9,
    "bird": 16,
    "cat": 17,
    "dog": 18,
    "horse": 19,
    "sheep": 20,
    "cow": 21,
    "bottle": 44,
    "cup": 47,
    "chair": 62,
    "couch": 63,
    "potted plant": 64,
    "dining table": 67,
    "tv": 72,
}
CATEGORIES = {index: name for name, index in IDS.items()}
SHAPE = (6, 8)
BOTTLE, TABLE, TV = (VOC.names.index(name) for name in ("bottle", "diningtable", "tvmonitor"))


def _box(top, left, bottom, right):
    """Polygons, here of one, whose mask is the rows top:bottom and columns left:right."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def _runs(mask):
    """COCO's run lengths: down the columns, zeros first."""
    flat = np.asarray(mask, np.uint8).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(np.shape(mask)), "counts": [0, *counts] if flat[0] else counts}


def _right_half():
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 4:] = 1
    return mask


def _regions(tmp_path, *annotations):
    path = tmp_path / "instances_train2017.json"
    entries = [(1, IDS[name], mask, int(any(crowd))) for name, mask, *crowd in annotations]
    path.write_text(json.dumps(coco_content(CATEGORIES, {1: SHAPE}, entries)))
    return read_regions(load_source(path), 1)


def _label(tmp_path, *annotations):
    return draw(_regions(tmp_path, *annotations), SHAPE)


def test_every_voc_class_has_its_category(tmp_path):
    names = [COCO_NAMES.get(name, name) for name in VOC.names[1:]]
    assert sorted(names) == sorted(set(IDS) - {"cup"})
    labels = [
        _label(tmp_path, (name, _box(0, 0, 6, 8)), ("cup", _box(0, 0, 2, 2)))[0, 0]
        for name in names
    ]
    assert labels == list(range(1, 21))


def test_polygons_are_filled_and_other_categories_are_background(tmp_path):
    label = _label(tmp_path, ("tv", _box(1, 2, 4, 5)), ("cup", _box(0, 0, 6, 8)))
    expected = np.zeros(SHAPE)
    expected[1:4, 2:5] = TV
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected)


def test_an_object_may_have_several_polygons(tmp_path):
    label = _label(tmp_path, ("tv", [*_box(0, 0, 6, 2), *_box(0, 6, 6, 8)]))
    np.testing.assert_array_equal(label, [[TV, TV, 0, 0, 0, 0, TV, TV]] * 6)


def test_run_lengths_are_read(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0] = mask[2:, 5] = 1
    np.testing.assert_array_equal(_label(tmp_path, ("tv", _runs(mask))), mask * TV)


@pytest.mark.parametrize("order", [1, -1])
def test_smaller_objects_are_in_front(tmp_path, order):
    table, bottle = ("dining table", _box(0, 0, 6, 8)), ("bottle", _box(1, 1, 5, 3))
    expected = np.full(SHAPE, TABLE)
    expected[1:5, 1:3] = BOTTLE
    np.testing.assert_array_equal(_label(tmp_path, *[table, bottle][::order]), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_crowds_are_void_behind_objects(tmp_path, order):
    crowd = ("person", _runs(_right_half()), True)
    tv = ("tv", _box(0, 0, 6, 6))  # larger than the crowd
    expected = [[TV] * 6 + [VOID] * 2] * 6
    np.testing.assert_array_equal(_label(tmp_path, *[crowd, tv][::order]), expected)


def test_crowds_of_other_categories_are_background(tmp_path):
    crowd = ("cup", _runs(_right_half()), True)
    np.testing.assert_array_equal(_label(tmp_path, crowd), np.zeros(SHAPE))


def test_random_regions_count_as_many_pixels_as_are_drawn(tmp_path):
    random = np.random.default_rng(0)
    for _ in range(20):
        regions = _regions(
            tmp_path,
            *[
                (name, _runs(random.random(SHAPE) < 0.3), name == "person")
                for name in random.choice(list(IDS), 4)
            ],
        )
        label = draw(regions, SHAPE)
        assert count_object_pixels(regions) == np.sum((label > 0) & (label < VOID))


@pytest.mark.parametrize("mask", [[], [[1, 1, 2, 2]], _runs(np.zeros(SHAPE))])
def test_masks_that_enclose_nothing_draw_nothing(tmp_path, mask):
    regions = _regions(tmp_path, ("tv", mask))
    assert count_object_pixels(regions) == 0
    np.testing.assert_array_equal(draw(regions, SHAPE), np.zeros(SHAPE))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (None, "neither polygons nor run lengths"),
        (7, "neither polygons nor run lengths"),
        ([[1, 2, 3, 4, 5]], "its polygon is not a list"),
        ([[1, 2, 3, 4, 5, float("nan")]], "its polygon is not a list"),
        ([[1, 2, 3, 4, 5, 1e9]], "its polygon is not a list"),
        ([["a"] * 6], "its polygon is not a list"),
        ({"size": [6, 8]}, "its run lengths do not fit"),
        ({"size": [6, 8], "counts": [1, 2]}, "its run lengths do not fit"),
        ({"size": [6, 8], "counts": [50, -2]}, "its run lengths do not fit"),
        ({"size": [6, 8], "counts": []}, "its run lengths do not fit"),
        ({"size": [6, 8], "counts": "PPYo1"}, "its run lengths do not fit"),
        ({"size": [8, 6], "counts": [48]}, "its run lengths do not fit"),
    ],
)
def test_masks_of_other_forms_are_errors(tmp_path, mask, reason):
    with pytest.raises(InputError, match=rf"train2017\.json: annotation 1: {reason}"):
        _regions(tmp_path, ("tv", mask))


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"images": [', '{"images": [{}]}', '{"images": [{"id": 1, "file_name": "a.jpg"}]}'],
)
def test_something_else_is_no_annotation_file(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json: not COCO annotations"):
        load_source(path)
    with pytest.raises(InputError, match=r"nowhere\.json: No such file"):
        load_source(tmp_path / "nowhere.json")


def test_a_category_that_is_missing_is_an_error(tmp_path):
    path = tmp_path / "a.json"
    known = {index: name for index, name in CATEGORIES.items() if name != "couch"}
    path.write_text(json.dumps(coco_content(known, {1: SHAPE}, [])))
    with pytest.raises(InputError, match=r"a\.json: has no category 'couch'"):
        load_source(path)


LARGE, SIZE = (40, 50), 40 * 50


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder, images, `Prepared`).

    Images 7 (half a tv), 3 (999 pixels of one), 8 (empty) of train; 5 (all a table) of val.
    """
    folder = tmp_path_factory.mktemp("coco_voc")
    runs = {"size": list(LARGE), "counts": [SIZE - 999, 999]}
    half = {"size": list(LARGE), "counts": [1000, 1000]}
    train = [(7, IDS["tv"], half, 0), (3, IDS["tv"], runs, 0), (3, IDS["cup"], half, 0)]
    val = [(5, IDS["dining table"], _box(0, 0, *LARGE), 0)]
    contents = {
        "train": coco_content(CATEGORIES, {7: LARGE, 3: LARGE, 8: LARGE}, train),
        "val": coco_content(CATEGORIES, {5: LARGE}, val),
    }
    images = write_coco(folder / "archives", contents)
    return folder, images, prepare_tiny("coco_voc", folder)


def test_archives_become_records(prepared):
    folder, images, done = prepared
    assert done.counts == {"train": 1, "val": 1, "trainval": 2}
    assert read_prepared_labels(folder / "data", "coco_voc") == VOC
    both = read_examples(folder, "coco_voc", "trainval")
    assert list(both) == ["000000000007", "000000000005"]
    image, label = both["000000000007"]
    assert image == images["000000000007"]
    np.testing.assert_array_equal(label, [[0] * 25 + [TV] * 25] * 40)
    np.testing.assert_array_equal(both["000000000005"][1], np.full(LARGE, TABLE))


@pytest.mark.parametrize(("min_pixels", "numbers"), [(999, [3, 7]), (0, [3, 7, 8])])
def test_images_with_few_object_pixels_are_left_out(prepared, min_pixels, numbers):
    contents = contents_of(prepared[0], CocoVoc.archives)
    train = read_all(CocoVoc("coco_voc", {"min_pixels": min_pixels}), contents)["train"]
    assert [int(name) for name in train] == numbers


def test_nothing_is_printed(tmp_path, prepared, capsys):
    # Both pycocotools and tensorflow-datasets print by themselves.
    (tmp_path / "archives").symlink_to(prepared[0] / "archives")
    prepare_tiny("coco_voc", tmp_path)
    assert capsys.readouterr().out == ""


def test_other_archives_are_not_taken_for_the_originals(tmp_path, prepared):
    with pytest.raises(InputError, match=r"train2017\.zip: \d+ bytes, but the original has 1933"):
        prepare("coco_voc", tmp_path / "d", tmp_path / "data", prepared[0] / "archives")


def test_an_image_that_is_missing_is_an_error(tmp_path, prepared):
    contents = contents_of(prepared[0], CocoVoc.archives)
    with pytest.raises(InputError, match=r"train2017/000000000007\.jpg: No such file"):
        read_all(CocoVoc("coco_voc"), {**contents, "train": tmp_path})
