import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import planted
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_tf.data.checks import KINDS, check_dataset, inspect, offenders_picture, open_lists
from deeplab_tf.data.checks.inspection import look_at
from deeplab_tf.data.checks.values import grey_shades, value_remedy
from deeplab_tf.data.datasets import label_colors
from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.data.labels import LabelSet
from deeplab_tf.data.png import encode_label
from deeplab_tf.data.voc import load_label, load_pair
from deeplab_tf.errors import InputError

SIDE = 32
CLASSES = LabelSet.in_voc_colors(("sky", "road", "car"))
PLAIN = np.zeros((SIDE, SIDE), np.uint8)


def blocks(*values):
    """A label of equally wide upright stripes."""
    return np.repeat(np.repeat(np.uint8([values]), SIDE, 0), SIDE // len(values), 1)


@pytest.fixture
def make(tmp_path):
    """A function that writes an example: image, and label as array (H, W) or as file contents."""

    def write(name, label, image=None):
        if isinstance(label, np.ndarray):
            label = encode_label(label, CLASSES.color_table())
        if image is None:
            image = cv2.imencode(".jpg", np.dstack([PLAIN] * 3))[1].tobytes()
        example = Example(name, f"{tmp_path}/{name}.jpg", f"{tmp_path}/{name}.png")
        for path, contents in ((example.image, image), (example.label, label)):
            Path(path).write_bytes(contents)
        return example

    return write


def kinds(findings):
    return [(finding.severity, finding.kind) for finding in findings]


def check(examples, **options):
    return check_dataset({"train": examples}, CLASSES, progress=False, **options)


def test_nothing_is_found_in_a_good_example(make):
    assert inspect(make("a", blocks(0, 1, 2, 255)), 3) == []


def test_a_finding_says_file_fault_and_remedy(make):
    example = make("a", blocks(0, 1, 3, 60))
    (finding,) = inspect(example, 3)
    assert finding.line == (
        f"{example.label}: label values 3, 60 of no class (3 classes: 0..2, 255 = void); if there"
        " are 61 classes and not 3, name them all in classes.txt; otherwise mend the label"
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0, 128), "label_mask"),
        ((128, 255), "label_mask"),
        ((0, 128, 255, 0), "label_mask"),
        ((0, 1, 128, 0), "label_value"),
        ((0, 127), "label_value"),
        ((255, 255), "void_only"),
    ],
)
def test_values(make, values, kind):
    assert kinds(inspect(make("a", blocks(*values)), 3)) == [("error", kind)]


def test_128_is_no_mask_where_it_is_a_class(make):
    assert inspect(make("a", blocks(0, 128)), 129) == []


def test_labels_are_read_as_the_training_reads_them(make):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    table = CLASSES.color_table()
    for contents in (encode_label(label, table), planted.png(label), planted.png(table[label])):
        example = make("a", contents)
        read = load_label(example.label, 3, CLASSES.colors)
        expected = dict(enumerate(np.bincount(read.ravel()).tolist()))
        assert look_at(example, 3, CLASSES.colors).pixels == expected


def test_grey_and_alpha_images_are_warnings(make):
    grey, alpha = planted.png(PLAIN), planted.png(np.dstack([PLAIN] * 4))
    assert kinds(inspect(make("a", PLAIN, grey), 3)) == [("warning", "image_grey")]
    assert kinds(inspect(make("a", PLAIN, alpha), 3)) == [("warning", "image_alpha")]


def test_an_image_that_exif_turns_is_not_reported_for_its_size_as_well(make):
    tall = cv2.imencode(".jpg", np.zeros((2 * SIDE, SIDE, 3), np.uint8))[1].tobytes()
    wide = np.zeros((SIDE, 2 * SIDE), np.uint8)
    turned = make("a", wide, planted.with_orientation(tall, 6))
    assert kinds(inspect(turned, 3)) == [("error", "image_rotated")]
    assert kinds(inspect(make("b", wide, tall), 3)) == [("error", "label_size")]


def test_a_file_that_cannot_be_opened_is_named(make):
    example = make("a", PLAIN)
    (finding,) = inspect(example._replace(label="absent.png"), 3)
    assert (finding.kind, finding.line) == (
        "label_missing", "absent.png: No such file or directory; check the path",
    )  # fmt: skip
    (finding,) = inspect(example._replace(image="absent.jpg"), 3)
    assert (finding.kind, finding.file) == ("image_missing", "absent.jpg")
    (finding,) = inspect(example._replace(label=""), 3)
    assert (finding.kind, finding.file) == ("label_missing", "label of 'a'")


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


class InMemory(NamedTuple):
    """An example that is no file."""

    contents: tuple[bytes, bytes]
    name: str = "a"
    image: str = "a.jpg"
    label: str = "a.png"

    def read(self):
        return self.contents


def _random_image(kind):
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    return cv2.imencode(kind, image)[1].tobytes()


IMAGES = [_random_image(".jpg"), _random_image(".png")]
LABELS = [
    encode_label(blocks(0, 1, 2, 255), CLASSES.color_table()),
    planted.png(blocks(0, 1, 2, 255)),
    planted.png(CLASSES.color_table()[blocks(0, 1, 2, 255)]),
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(IMAGES),
    st.sampled_from(LABELS),
    st.integers(0, 1),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), max_size=3),
    st.integers(0, 99),
)
def test_what_is_not_reported_can_be_trained_on(image, label, which, flips, percent):
    # Bytes are turned, and the file may be cut: at 40 % or more it is left whole.
    contents = [bytearray(image), bytearray(label)]
    for place, bits in flips:
        contents[which][place % len(contents[which])] ^= bits
    if percent < 40:
        del contents[which][len(contents[which]) * percent // 40 :]
    example = InMemory(tuple(map(bytes, contents)))
    found = inspect(example, 3, CLASSES.colors)
    try:
        load_pair(example, 3, CLASSES.colors)
    except InputError:
        assert any(finding.severity == "error" for finding in found)
    assert all("\n" not in finding.line for finding in found)


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


def test_areas_of_255_instead_of_a_class_are_an_object(make):
    examples = [make(name, blocks(0, 1, 255, 255)) for name in "ab"]
    assert kinds(check(examples).errors) == [("error", "void_object")]
    # With the class somewhere, in whatever list, void is void.
    splits = {"train": examples, "val": [make("c", blocks(2, 2))]}
    assert check_dataset(splits, CLASSES, progress=False).ok
    # A sample cannot tell: the class may be in what was not read.
    assert check(examples, sample=1).findings == ()


def test_grey_labels_beside_palette_labels(make):
    palette = [make(name, blocks(0, 1, 2, 1)) for name in "abc"]
    grey = make("d", planted.png(blocks(0, 1, 2, 2)))
    report = check([*palette, grey])
    assert kinds(report.findings) == [("warning", "label_mix")]
    assert report.findings[0].file == grey.label
    assert "grey label among others (1 grey, 3 palette)" in report.findings[0].what


def test_palettes_that_differ_in_colors_only_are_no_problem(make):
    other = encode_label(blocks(0, 1, 2, 2), np.full((3, 3), [[9], [8], [7]], np.uint8))
    assert check([make("a", blocks(0, 1, 2, 1)), make("b", other)]).findings == ()
    no_colors = encode_label(blocks(0, 1, 2, 2), np.zeros((3, 3), np.uint8))
    assert check([make("a", blocks(0, 1, 2, 1)), make("b", no_colors)]).findings == ()


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
    counts = check_dataset(splits, CLASSES, progress=False).counts
    half = SIDE * SIDE // 2
    assert counts["train"] == (2, 2, {0: half, 1: 2 * half, 255: half}, {0: 1, 1: 2, 255: 1})
    assert counts["val"] == (0, 0, {}, {})


def test_what_wrong_values_tell():
    colors = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    assert grey_shades(colors) == {38, 39, 75, 76}
    assert "grey shades" in value_remedy([0, 38, 75, 255], 3, colors)
    assert "if there are 61 classes" in value_remedy([0, 38, 60], 3, colors)
    assert "count from 1" in value_remedy([1, 2, 3, 255], 3, colors)
    assert "if there are 4 classes" in value_remedy([0, 1, 2, 3, 255], 3, colors)


def test_allowed_kinds_are_warnings(make):
    examples = [make("a", blocks(0, 1)), make("b", blocks(255, 255))]
    with pytest.raises(InputError, match=r"^1 problem in the data: .*b\.png: nothing but void"):
        check(examples).raise_for_errors()
    report = check(examples, allow=["void_only"])
    report.raise_for_errors()
    assert ("warning", "void_only") in kinds(report.findings)
    assert any(line.startswith("warning: void_only: ") for line in report.warning_lines())
    with pytest.raises(InputError, match="no kind of finding 'void'; allow some of list_missing"):
        check(examples, allow=["void"])


def test_several_errors_are_one_line(make):
    examples = [make("a", blocks(0, 7)), make("b", blocks(255, 255))]
    with pytest.raises(InputError) as error:
        check(examples).raise_for_errors()
    assert str(error.value).startswith(
        f"2 problems in the data, the first: {examples[0].label}: label values 7 of no class"
    )
    assert str(error.value).endswith("; run tools/check_data.py for all")
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
    assert "\n  -> if there are 60 classes and not 7, name them all" in text
    assert text.index("error label_value") < text.index("warning label_mix")
    assert all(finding.kind in KINDS for finding in report.findings)
    found = report.to_dict()
    assert found["ok"] is False
    assert found["splits"]["val"]["images"]["background"] == 2
    picture = offenders_picture(report)
    assert picture.dtype == np.uint8 and picture.shape[1] > 2 * 320
    # A row for each: 59, EXIF, the mask, and grey among palette, in that order.
    assert 4 * 320 < picture.shape[0] < 5 * 320 + 100


def test_no_picture_where_there_is_nothing_to_show(make):
    assert offenders_picture(check([make("a", blocks(0, 1, 2, 2))])) is None


@pytest.mark.parametrize("name", planted.DEFECTS)
def test_every_defect_can_be_drawn(tmp_path, clean, name):
    folder = shutil.copytree(clean, tmp_path / "data")
    planted.DEFECTS[name].plant(folder)
    splits, label_set, known = open_lists("voc", folder, ["train", "val"])
    colors = label_colors("voc", folder)
    report = check_dataset(splits, label_set, colors, known=known, progress=False)
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
    image.rename(image.with_suffix(".JPG"))
    (finding,) = open_lists("voc", folder, ["train"])[2]
    assert finding.what == "no such image, only train_0000.JPG"


def test_a_folder_that_is_not_there():
    with pytest.raises(InputError, match="absent: no such folder; give the folder of a data set"):
        open_lists("voc", "absent", ["train"])


def test_prepared_data_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no prepared data; make it"):
        open_lists("voc12", tmp_path, ["train"])
