import functools
import random
import shutil

import cv2
import numpy as np
import planted
import pytest
import tensorflow as tf
from planted import SIDE, THREE, blocks, kinds, write_example

from deeplab_tf.data.checks import (
    ERROR,
    KINDS,
    accepted_kinds,
    check_dataset,
    offenders_picture,
    open_lists,
    same_list,
)
from deeplab_tf.data.datasets import label_encoding
from deeplab_tf.data.examples import RecordExample
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

PLAIN = np.zeros((SIDE, SIDE), np.uint8)


@pytest.fixture
def make(tmp_path):
    """`write_example` into a new folder."""
    return functools.partial(write_example, tmp_path)


def check(examples, **options):
    return check_dataset({"train": examples}, THREE, progress=False, **options)


def test_records_are_checked_as_files_are(make, tmp_path):
    contents = make("a", blocks(0, 7)).read()
    record = tf.train.Example()
    for key, value in zip(("name", "image", "label"), (b"a", *contents), strict=True):
        record.features.feature[key].bytes_list.value.append(value)
    path, data = str(tmp_path / "a.tfrecord"), record.SerializeToString()
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(data)
    example = RecordExample("a", path, 12, len(data))
    (finding,) = check([example]).errors
    assert (finding.kind, finding.file) == ("label_value", f"{path}, label of 'a'")
    (finding,) = check([example._replace(offset=3)]).errors
    assert "record of 'a' is damaged; prepare the data again" in finding.line


def test_void_between_objects_is_no_object(make):
    # Bands of void, all classes: as in VOC. And large void, all classes: as in CamVid.
    band = blocks(0, 1, 2, 0)
    band[:, 6:11] = 255
    assert check([make("a", band), make("b", blocks(0, 1, 255, 2))]).findings == ()


def test_255_beside_0_in_most_labels_is_an_object(make):
    masks = [make(name, blocks(0, 255)) for name in "ab"]
    report = check([*masks, make("c", blocks(0, 1))])
    assert kinds(report.errors) == [("error", "void_object")]
    assert report.errors[0].file == masks[0].label
    assert "in 2 of 3 labels, while no label has 'car'" in report.errors[0].what


def test_255_beside_0_is_worth_a_warning_where_it_is_rare_or_all_classes_occur(make):
    mask = make("a", blocks(0, 255))
    others = [make(name, blocks(0, 1)) for name in "bcdefghijklm"]
    few = check([mask, *others])
    assert ("warning", "void_object") in kinds(few.warnings) and few.ok
    all_there = check([mask, make("n", blocks(0, 255, 0, 0)), make("o", blocks(1, 2))])
    assert kinds(all_there.findings) == [("warning", "void_object")]


def test_areas_of_255_are_void_if_several_classes_are_missing(make):
    # Two photographs of four classes; 255 could stand for one missing class, not for two.
    examples = [make(name, blocks(0, 1, 255, 255)) for name in "ab"]
    four = LabelSet.in_voc_colors(("sky", "road", "car", "tree"))
    report = check_dataset({"train": examples}, four, progress=False)
    assert report.ok and ("warning", "void_object") in kinds(report.warnings)
    (asked,) = check(examples).errors
    assert "while no label has 'car'; if 255 is meant as a class" in asked.line
    assert asked.line.endswith("if it is void, accept it by --allow_data=void_object")


def test_areas_of_255_beside_everything_are_void(make):
    # In three photographs of three kinds: in more than any of the three classes that occur.
    four = LabelSet.in_voc_colors(("grass", "road", "car", "tree"))
    labels = blocks(0, 255), blocks(1, 255), blocks(2, 255)
    examples = [make(f"{index}", label) for index, label in enumerate(labels)]
    report = check_dataset({"train": examples}, four, progress=False)
    assert report.ok and ("warning", "void_object") in kinds(report.warnings)
    assert "while no label has 'tree'" in report.warnings[0].what
    # Unless the missing class is the background.
    labels = blocks(1, 255), blocks(2, 255), blocks(3, 255)
    examples = [make(f"{index}", label) for index, label in enumerate(labels)]
    report = check_dataset({"train": examples}, four, progress=False)
    assert kinds(report.errors) == [("error", "void_object")]
    assert "while no label has 'grass'" in report.errors[0].what


def test_forty_real_photographs_with_much_void_are_accepted(msrc21):
    # Without flower, the only one of 21 classes; 255 fills areas in most of the labels.
    names = read_split(msrc21, "train") + read_split(msrc21, "val")
    chosen = random.Random(5).sample(names, 40)
    report = check_dataset({"train": chosen}, read_label_set(msrc21), progress=False)
    assert report.ok
    assert kinds(report.warnings) == [("warning", "void_object"), ("warning", "class_absent")]
    assert "no label has 'flower'" in report.warnings[0].what


def test_areas_of_255_instead_of_a_class_are_an_object(make):
    examples = [make(name, blocks(0, 1, 255, 255)) for name in "ab"]
    assert kinds(check(examples).errors) == [("error", "void_object")]
    # With the class somewhere, in whatever list, void is void.
    splits = {"train": examples, "val": [make("c", blocks(2, 2))]}
    assert check_dataset(splits, THREE, progress=False).ok
    # A sample cannot tell: the class may be in what was not read.
    assert check(examples, sample=1).findings == ()


def test_gray_labels_beside_palette_labels(make):
    palette = [make(name, blocks(0, 1, 2, 1)) for name in "abc"]
    gray = make("d", planted.png(blocks(0, 1, 2, 2)))
    report = check([*palette, gray])
    assert kinds(report.findings) == [("warning", "label_mix")]
    assert report.findings[0].file == gray.label
    assert "gray label among others (1 gray, 3 palette)" in report.findings[0].what


def test_palettes_that_differ_in_colors_only_are_no_problem(make):
    other = encode_label(blocks(0, 1, 2, 2), np.full((3, 3), [[9], [8], [7]], np.uint8))
    assert check([make("a", blocks(0, 1, 2, 1)), make("b", other)]).findings == ()
    no_colors = encode_label(blocks(0, 1, 2, 2), np.zeros((3, 3), np.uint8))
    assert check([make("a", blocks(0, 1, 2, 1)), make("b", no_colors)]).findings == ()


def photo(width, height, orientation):
    image = np.zeros((height, width, 3), np.uint8)
    contents = cv2.imencode(".jpg", image)[1].tobytes()
    return planted.with_orientation(contents, orientation)


def test_one_turned_image_shows_how_the_labels_of_all_were_drawn(make):
    upside_down = make("a", blocks(0, 1, 2, 2), photo(SIDE, SIDE, 3))
    assert kinds(check([upside_down]).findings) == [("error", "image_rotated")]
    lying = make(
        "b", blocks(0, 1, 2, 2)[:8], photo(8, SIDE, 8)
    )  # and its label, as viewers show it
    report = check([upside_down, lying])
    assert kinds(report.findings) == [("warning", "image_rotated")] * 2
    as_stored = make("c", blocks(0, 1, 2, 2)[:8].T, photo(8, SIDE, 8))
    report = check([upside_down, lying, as_stored])
    assert kinds(report.errors) == [("error", "image_rotated"), ("error", "label_size")]


def test_classes_that_never_occur_or_are_all_there_is(make):
    one_pixel = PLAIN.copy()
    one_pixel[0, 0] = 1
    report = check([make("a", one_pixel), *(make(name, PLAIN) for name in "bcd")])
    assert kinds(report.findings) == [("warning", "class_absent"), ("warning", "class_dominates")]
    assert "no label has 'car'" in report.findings[0].what
    assert "99.976 % of the pixels are 'sky'" in report.findings[1].what
    assert check([make("a", one_pixel), make("b", PLAIN)], sample=1).findings == ()


def test_counts(make):
    splits = {"train": [make("a", blocks(0, 1)), make("b", blocks(1, 255))], "val": []}
    counts = check_dataset(splits, THREE, progress=False).counts
    half = SIDE * SIDE // 2
    assert counts["train"] == (2, 2, {0: half, 1: 2 * half, 255: half}, {0: 1, 1: 2, 255: 1})
    assert counts["val"] == (0, 0, {}, {})


def test_allowed_kinds_are_warnings(make):
    examples = [make("a", blocks(0, 1)), make("b", blocks(255, 255))]
    with pytest.raises(InputError, match=r"^1 problem in the data: .*b\.png: nothing but void"):
        check(examples).raise_for_errors()
    report = check(examples, allow=["void_only"])
    report.raise_for_errors()
    assert ("warning", "void_only") in kinds(report.findings)
    assert any(line.startswith("warning: void_only: ") for line in report.warning_lines())
    with pytest.raises(InputError, match="unknown kind of finding 'void'; available: list_missing"):
        check(examples, allow=["void"])


def test_several_errors_are_one_line(make):
    examples = [make("a", blocks(0, 7)), make("b", blocks(255, 255))]
    with pytest.raises(InputError) as error:
        check(examples).raise_for_errors()
    assert str(error.value).startswith(
        f"2 problems in the data, the first: {examples[0].label}: label values 7 of no class"
    )
    assert str(error.value).endswith("; deeplab-tf check-data lists them all")
    assert "\n" not in str(error.value)


def test_samples_are_evenly_spaced(make):
    examples = [make(f"{number}", blocks(0, 3 + number)) for number in range(10)]
    found = check(examples, sample=5).errors
    assert [finding.file for finding in found] == [examples[k].label for k in (0, 2, 4, 6, 8)]
    assert check(examples, sample=5).counts["train"][:2] == (10, 5)
    assert len(check(examples, sample=99).errors) == len(check(examples).errors) == 10


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The small data set, without a defect."""
    folder = tmp_path_factory.mktemp("data") / "clean"
    planted.write_small_set(folder)
    return folder


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, clean):
    """The small data set with several defects, opened."""
    folder = shutil.copytree(clean, tmp_path_factory.mktemp("data") / "spoilt")
    for defect in ("60 classes against 21", "EXIF", "train in val", "duplicate"):
        planted.DEFECTS[defect].plant(folder)
    path = planted.label_path(folder, "train_0001")
    path.write_bytes(planted.png(planted.read_label(path)))
    planted.image_path(folder, "train_0002").unlink()
    planted.write_label(
        planted.label_path(folder, "train_0003"),
        np.where(np.arange(128) < 40, 0, 255)[None].repeat(128, 0),
    )
    return folder, open_lists("voc", folder, ["train", "val"])


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_examples_changes_only_the_order_of_findings(spoilt, seed):
    _, (splits, label_set, known) = spoilt
    found = check_dataset(splits, label_set, known=known, progress=False)
    assert len({finding.kind for finding in found.findings}) == 7
    rng = np.random.default_rng(seed)
    mixed = {split: [e[k] for k in rng.permutation(len(e))] for split, e in splits.items()}
    again = check_dataset(mixed, label_set, known=known, progress=False)
    assert sorted(found.findings) == sorted(again.findings)
    assert found.counts == again.counts


def test_text_dict_and_picture_of_a_report(spoilt):
    folder, (splits, label_set, known) = spoilt
    report = check_dataset(splits, label_set, known=known, progress=False)
    text = report.text()
    assert "train: 6 of 6 examples" in text  # one missing, one of val added
    assert f"error label_value: 1\n  {planted.label_path(folder)}: label values 59" in text
    assert "\n  -> if the values 0..59 are meant and not only 0..6, give each its line" in text
    assert text.index("error label_value") < text.index("warning label_mix")
    assert all(finding.kind in KINDS for finding in report.findings)
    found = report.to_dict()
    assert found["ok"] is False
    assert found["splits"]["val"]["images"]["background"] == 2
    picture = offenders_picture(report)
    assert picture.dtype == np.uint8 and picture.shape[1] > 2 * 320
    # A row for each: 59, EXIF, the mask, and gray among palette, in that order.
    assert 4 * 320 < picture.shape[0] < 5 * 320 + 100


def test_no_picture_where_there_is_nothing_to_show(make):
    assert offenders_picture(check([make("a", blocks(0, 1, 2, 2))])) is None


@pytest.mark.parametrize("name", planted.DEFECTS)
def test_every_defect_is_found_and_drawn(tmp_path, clean, name):
    folder = shutil.copytree(clean, tmp_path / "data")
    kind, plant = planted.DEFECTS[name]
    file = str(plant(folder))
    splits, label_set, known = open_lists("voc", folder, ["train", "val"])
    encoding = label_encoding("voc", folder)
    report = check_dataset(splits, label_set, encoding, known=known, progress=False)
    assert {finding.kind for finding in report.errors} == {kind}
    assert report.errors[0].file == file
    shown = [finding for finding in report.findings if finding.file in report.examples]
    assert (offenders_picture(report) is None) == (not shown)


def test_all_missing_files_are_found(tmp_path, clean):
    folder = shutil.copytree(clean, tmp_path / "data")
    shutil.rmtree(folder / "JPEGImages")
    planted.label_path(folder, "val_0001").unlink()
    splits, _, found = open_lists("voc", folder, ["train", "val", "test"])
    assert splits == {}
    counts = {kind: [f.kind for f in found].count(kind) for kind in KINDS}
    assert (counts["image_missing"], counts["label_missing"], counts["list_missing"]) == (8, 1, 1)


def test_images_that_end_otherwise_are_pointed_to(tmp_path, clean):
    folder = shutil.copytree(clean, tmp_path / "data")
    image = planted.image_path(folder)
    image.rename(image.with_suffix(".heic"))
    (finding,) = open_lists("voc", folder, ["train"])[2]
    assert finding.what == "no such image, only train_0000.heic"


def test_a_list_that_is_named_twice(clean):
    splits, _, findings = open_lists("voc", clean, ["train", "val", "train"])
    assert list(splits) == ["train", "val"]
    assert kinds(findings) == [("error", "list_overlap")]
    assert findings[0].line.startswith("list 'train': is named twice, to train and to validate on;")
    assert same_list(["train", "val"]) == []


def test_only_published_data_sets_have_kinds_that_are_accepted():
    assert accepted_kinds("voc12_aug") == ("void_only", "void_object")
    assert [accepted_kinds(own) for own in ("voc", "synthetic", "folder")] == [()] * 3
    assert set(accepted_kinds("coco_voc")) <= {kind for kind in KINDS if KINDS[kind] == ERROR}


def test_a_folder_that_is_not_there():
    with pytest.raises(InputError, match="absent: no such folder; give the folder of a data set"):
        open_lists("voc", "absent", ["train"])


def test_prepared_data_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no prepared data; make it"):
        open_lists("voc12", tmp_path, ["train"])
