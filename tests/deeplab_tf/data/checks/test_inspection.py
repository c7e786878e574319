import functools
from typing import NamedTuple

import cv2
import numpy as np
import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import SIDE, THREE, blocks, kinds, write_example

from deeplab_tf.data.checks.inspection import inspect_example
from deeplab_tf.data.checks.label_values import gray_shades, value_remedy
from deeplab_tf.data.image_files import load_label, load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelEncoding

PLAIN = np.zeros((SIDE, SIDE), np.uint8)


COLORED = LabelEncoding((0, 1, 2), THREE.colors)


def findings(example, num_classes):
    return list(inspect_example(example, LabelEncoding.plain(num_classes)).findings)


@pytest.fixture
def make(tmp_path):
    """`write_example` into a new folder."""
    return functools.partial(write_example, tmp_path)


def test_nothing_is_found_in_a_good_example(make):
    assert findings(make("a", blocks(0, 1, 2, 255)), 3) == []


def test_a_finding_says_file_fault_and_remedy(make):
    example = make("a", blocks(0, 1, 3, 60))
    (finding,) = findings(example, 3)
    assert finding.line == (
        f"{example.label}: label values 3, 60 of no class (3 classes: 0..2, 255 = void); if the"
        " values 0..60 are meant and not only 0..2, give each its line in classes.txt, as 'NAME"
        " void' if it is to be ignored; otherwise fix the label"
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
    assert kinds(findings(make("a", blocks(*values)), 3)) == [("error", kind)]


def test_128_is_no_mask_where_it_is_a_class(make):
    assert findings(make("a", blocks(0, 128)), 129) == []


def test_labels_are_read_as_the_training_reads_them(make):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    table = THREE.color_table()
    for contents in (encode_label(label, table), planted.png(label), planted.png(table[label])):
        example = make("a", contents)
        read = load_label(example.label, 3, COLORED)
        expected = dict(enumerate(np.bincount(read.ravel()).tolist()))
        assert inspect_example(example, COLORED).pixels == expected


def test_gray_and_alpha_images_are_warnings(make):
    gray, alpha = planted.png(PLAIN), planted.png(np.dstack([PLAIN] * 4))
    assert kinds(findings(make("a", PLAIN, gray), 3)) == [("warning", "image_gray")]
    assert kinds(findings(make("a", PLAIN, alpha), 3)) == [("warning", "image_alpha")]


def test_the_size_of_a_label_shows_whether_it_is_turned_as_its_image(make):
    tall = cv2.imencode(".jpg", np.zeros((2 * SIDE, SIDE, 3), np.uint8))[1].tobytes()
    wide = np.zeros((SIDE, 2 * SIDE), np.uint8)
    turned = planted.with_orientation(tall, 6)
    (fits,) = findings(make("a", wide, turned), 3)
    assert kinds([fits]) == [("warning", "image_rotated")]
    assert fits.what == "turned by its EXIF tag (orientation 6) to 64x32"
    assert "nothing to do" in fits.remedy
    (as_stored,) = findings(make("b", wide.T, turned), 3)
    assert kinds([as_stored]) == [("error", "label_size")]
    assert "size 32x64 but the image, turned by its EXIF tag (orient" in as_stored.what
    assert "turn the label too, or remove the tag" in as_stored.remedy
    both = findings(make("c", wide[1:], turned), 3)
    assert kinds(both) == [("error", "image_rotated"), ("error", "label_size")]
    assert kinds(findings(make("d", wide, tall), 3)) == [("error", "label_size")]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_nothing_shows_whether_the_label_of_a_square_is_turned(make, orientation):
    square = cv2.imencode(".jpg", np.zeros((SIDE, SIDE, 3), np.uint8))[1].tobytes()
    example = make("a", PLAIN, planted.with_orientation(square, orientation))
    (finding,) = findings(example, 3)
    assert kinds([finding]) == [("error", "image_rotated")]
    assert "check that its label shows the turned image" in finding.remedy


JPEG_KINDS = {
    "plain": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "with restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
}


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("level", [0, 128, 200])
def test_gray_corners_are_no_missing_data(make, kind, level):
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    image[SIDE // 2 :] = level
    jpeg = cv2.imencode(".jpg", image, JPEG_KINDS[kind])[1].tobytes()
    for contents in (jpeg, jpeg + bytes(9)):
        assert findings(make("a", PLAIN, contents), 3) == []


@pytest.mark.parametrize("kind", ["plain", "optimised"])
def test_a_jpeg_with_its_end_but_not_all_before_it(make, kind):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", image, JPEG_KINDS[kind])[1].tobytes()
    pixels = jpeg.rindex(b"\xff\xda") + 14  # where their data starts
    for kept in np.linspace(pixels, pixels + (len(jpeg) - pixels) * 2 // 3, 8).astype(int):
        example = make("a", PLAIN, jpeg[:kept] + jpeg[-2:])
        assert kinds(findings(example, 3)) == [("error", "image_unreadable")]
        assert load_pair(example, 3)  # what makes it hard to notice


def test_a_file_that_cannot_be_opened_is_named(make):
    example = make("a", PLAIN)
    (finding,) = findings(example._replace(label="absent.png"), 3)
    assert (finding.kind, finding.line) == (
        "label_missing", "absent.png: No such file or directory; check the path",
    )  # fmt: skip
    (finding,) = findings(example._replace(image="absent.jpg"), 3)
    assert (finding.kind, finding.file) == ("image_missing", "absent.jpg")
    (finding,) = findings(example._replace(label=""), 3)
    assert (finding.kind, finding.file) == ("label_missing", "label of 'a'")


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
    encode_label(blocks(0, 1, 2, 255), THREE.color_table()),
    planted.png(blocks(0, 1, 2, 255)),
    planted.png(THREE.color_table()[blocks(0, 1, 2, 255)]),
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
    found = inspect_example(example, COLORED).findings
    try:
        load_pair(example, 3, COLORED)
    except InputError:
        assert any(finding.severity == "error" for finding in found)
    assert all("\n" not in finding.line for finding in found)


def test_what_wrong_values_tell():
    colors = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    assert gray_shades(colors) == {38, 39, 75, 76}
    assert "gray shades" in value_remedy([0, 38, 75, 255], 3, colors)
    assert "if the values 0..60 are meant" in value_remedy([0, 38, 60], 3, colors)
    assert "count from 1" in value_remedy([1, 2, 3, 255], 3, colors)
    assert "if the values 0..3 are meant" in value_remedy([0, 1, 2, 3, 255], 3, colors)
