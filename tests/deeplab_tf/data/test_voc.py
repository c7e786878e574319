from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.examples import Example
from deeplab_tf.data.png import encode_label
from deeplab_tf.data.voc import (
    decode_image,
    find_files,
    load_image,
    load_label,
    load_pair,
    read_classes,
    read_colors,
    read_label_set,
    read_split,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOC, LabelSet, voc_colors

LABEL = np.array([[0, 1, 2, 255], [2, 1, 0, 0], [1, 1, 1, 1]], np.uint8)


def _write_label(path, label):
    path.write_bytes(encode_label(label, voc_colors(256)))


def _write_image(path, image):
    path.write_bytes(cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes())


@pytest.fixture
def data_dir(tmp_path):
    """Two examples, "a" and "b c", and a third image without a label."""
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    _write_image(tmp_path / "JPEGImages" / "a.jpg", image)
    _write_image(tmp_path / "JPEGImages" / "b c.png", image)
    _write_image(tmp_path / "JPEGImages" / "test.jpeg", image)
    for name in ("a", "b c"):
        _write_label(tmp_path / "SegmentationClass" / f"{name}.png", LABEL)
    _write_list(tmp_path, "train", "\nb c\n\n  a \n\n")
    _write_list(tmp_path, "test", "test\na\n")
    return tmp_path


def _write_list(data_dir, split, text):
    (data_dir / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)


def _example(data_dir, name="b c"):
    return next(e for e in read_split(data_dir, "train") if e.name == name)


def test_split_is_read_in_order_without_blank_lines(data_dir):
    assert read_split(data_dir, "train") == [
        Example(
            "b c",
            str(data_dir / "JPEGImages" / "b c.png"),
            str(data_dir / "SegmentationClass" / "b c.png"),
        ),
        Example(
            "a",
            str(data_dir / "JPEGImages" / "a.jpg"),
            str(data_dir / "SegmentationClass" / "a.png"),
        ),
    ]


def test_labels_may_be_absent_where_none_are_needed(data_dir):
    test, a = read_split(data_dir, "test", need_labels=False)
    assert test.image.endswith("test.jpeg")
    assert test.label == ""
    assert a.label.endswith("a.png")


def test_lists_of_paths_and_of_file_names(data_dir):
    (data_dir / "Aug").mkdir()
    _write_label(data_dir / "Aug" / "a label.png", LABEL)
    _write_list(data_dir, "train", "/JPEGImages/a.jpg /Aug/a label.png\nb c.png\n")
    a, b = read_split(data_dir, "train")
    images, labels = data_dir / "JPEGImages", data_dir / "SegmentationClass"
    assert a == Example("a", str(images / "a.jpg"), str(data_dir / "Aug" / "a label.png"))
    assert b == Example("b c", str(images / "b c.png"), str(labels / "b c.png"))
    assert find_files(data_dir, "a.jpg a.png") == (images / "a.jpg", labels / "a.png")


def test_lists_stay_in_the_folder(data_dir, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    for path in data_dir.rglob("a.*"):
        (outside / path.name).write_bytes(path.read_bytes())
    for line in (f"{outside}/a", f"{outside}/a.jpg {outside}/a.png"):
        _write_list(data_dir, "train", line)
        with pytest.raises(InputError, match=rf"^{data_dir}/.*a\.jpg: no such image"):
            read_split(data_dir, "train")
    _write_list(data_dir, "train", f"../../{outside.name}/a")
    with pytest.raises(InputError, match=r"train\.txt: .* leads out of the data set's folder"):
        read_split(data_dir, "train")


@pytest.mark.parametrize("ending", [".JPG", ".Jpg", ".JPEG", ".PNG"])
def test_endings_in_capitals(data_dir, ending):
    image = data_dir / "JPEGImages" / f"big{ending}"
    label = data_dir / "SegmentationClass" / "big.PNG"
    (data_dir / "JPEGImages" / "a.jpg").rename(image)
    (data_dir / "SegmentationClass" / "a.png").rename(label)
    _write_list(data_dir, "train", "big\n")
    assert read_split(data_dir, "train") == [Example("big", str(image), str(label))]


def test_pair_has_the_values_that_were_written(data_dir):
    image, label = load_pair(_example(data_dir), 3)
    np.testing.assert_array_equal(image, np.arange(36).reshape(3, 4, 3))
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.uint8)


def test_jpeg_and_grey_images_become_rgb(tmp_path):
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    _write_image(tmp_path / "flat.jpg", image)
    assert np.abs(load_image(tmp_path / "flat.jpg").astype(int) - image).max() <= 3
    cv2.imwrite(str(tmp_path / "grey.png"), image[..., 0])
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png"), 200)


def test_classes_default_to_voc(data_dir):
    labels = read_label_set(data_dir)
    assert labels.names == VOC
    assert labels.colors[15] == (192, 128, 128)
    assert read_colors(data_dir) is None


def test_classes_are_read_without_blank_lines(data_dir):
    (data_dir / "classes.txt").write_text("sky\n\ntraffic light 2\n  road \n")
    labels = read_label_set(data_dir)
    assert labels.names == ("sky", "traffic light 2", "road")
    assert labels.colors[1] == (128, 0, 0)
    assert read_colors(data_dir) is None


def test_classes_with_colors_read_rgb_labels(data_dir):
    (data_dir / "classes.txt").write_text("traffic light 1 2 3\nroad 4 5 6\nsky 7 8 9\n")
    labels = read_label_set(data_dir)
    assert labels.names == ("traffic light", "road", "sky")
    assert read_colors(data_dir) == labels.colors == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    path = data_dir / "SegmentationClass" / "a.png"
    _write_image(path, labels.color_table()[LABEL])
    with pytest.raises(InputError, match=r"a\.png: RGB label but no colors"):
        load_label(path, 3)
    np.testing.assert_array_equal(load_label(path, 3, labels.colors), LABEL)
    np.testing.assert_array_equal(load_pair(_example(data_dir, "a"), 3, labels.colors)[1], LABEL)


def test_classes_of_any_file(data_dir):
    path = data_dir / "names"
    path.write_bytes(b"\xef\xbb\xbfroad\r\ncar, truck\r\n")
    label_set, colors = read_classes(path)
    assert label_set == LabelSet.in_voc_colors(("road", "car, truck")) and colors is None
    path.write_text("road,128,64,128\ntraffic light 2, 0, 0,1\n")
    label_set, colors = read_classes(path)
    assert label_set.names == ("road", "traffic light 2")
    assert colors == label_set.colors == ((128, 64, 128), (0, 0, 1))
    with pytest.raises(InputError, match="nowhere: No such file"):
        read_classes(data_dir / "nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n \n", "lists no class"),
        ("a 1 2 3\nb 4 5 6\nc 1 2 3\n", r"'a' and 'c' have the same color \(1, 2, 3\)"),
        ("a\nb\na\n", "'a' is given twice"),
        ("a 1 2 3\nb\n", "only 1 of 2 classes"),
        ("a 1 2 300\n", "0..255"),
        ("\n".join(f"c{i}" for i in range(256)), "256 class names"),
    ],
)
def test_bad_classes_name_the_file(data_dir, text, message):
    (data_dir / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=rf"classes\.txt: .*{message}"):
        read_label_set(data_dir)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.txt: lists no example"),
        ("\n\n", r"train\.txt: lists no example"),
        ("a\nb c\na\n", r"train\.txt: lists 'a' twice"),
        ("a\nnone\n", r"JPEGImages/none\.jpg: no such image"),
        ("a\ntest\n", r"SegmentationClass/test\.png: no such label"),
    ],
)
def test_bad_lists_name_the_file(data_dir, text, message):
    _write_list(data_dir, "train", text)
    with pytest.raises(InputError, match=message):
        read_split(data_dir, "train")


def test_missing_list_and_folder(data_dir):
    with pytest.raises(InputError, match=r"val\.txt: no such list"):
        read_split(data_dir, "val")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_split(data_dir / "nowhere", "val")


def test_list_that_is_no_text(data_dir):
    (data_dir / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"train\.txt: not a text file"):
        read_split(data_dir, "train")


def test_truncated_jpeg_is_an_error(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / "cut.jpg"
    _write_image(path, image)
    contents = path.read_bytes()
    for keep in (0, 10, len(contents) // 2, len(contents) - 30):
        path.write_bytes(contents[:keep])
        with pytest.raises(InputError, match=r"cut\.jpg: cannot be read"):
            load_image(path)


BLACK = np.zeros((8, 8, 3), np.uint8)
OTHER_FORMATS = {
    # One pixel: header, palette of two, picture, its compressed pixels, end.
    "gif": b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "webp": cv2.imencode(".webp", BLACK)[1].tobytes(),
    "bmp": cv2.imencode(".bmp", BLACK)[1].tobytes(),
    "text": b"hello",
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind):
    contents = OTHER_FORMATS[kind]
    (tmp_path / "a.jpg").write_bytes(contents)
    with pytest.raises(
        InputError, match=r"a\.jpg: cannot be read: neither JPEG nor PNG, .*; convert it"
    ):
        load_image(tmp_path / "a.jpg")
    for decode in (decode_image, tf.function(decode_image)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="neither JPEG nor PNG"):
            decode(tf.constant(contents))


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_images_decode_inside_tf_data(tmp_path, ending):
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    _write_image(tmp_path / f"a{ending}", image)
    contents = (tmp_path / f"a{ending}").read_bytes()
    (decoded,) = tf.data.Dataset.from_tensors(contents).map(decode_image)
    np.testing.assert_array_equal(decoded, load_image(tmp_path / f"a{ending}"))
    np.testing.assert_array_equal(decode_image(tf.constant(contents)), decoded)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg: No such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match=r"none\.png: No such file"):
        load_label(tmp_path / "none.png", 3)


def test_label_value_of_no_class(data_dir):
    path = data_dir / "SegmentationClass" / "a.png"
    with pytest.raises(InputError, match=r"a\.png: label value 2 but only 2 classes \(0\.\.1"):
        load_label(path, 2)
    assert load_label(path, 3).max() == 255


def test_sizes_that_differ(data_dir):
    _write_label(data_dir / "SegmentationClass" / "a.png", LABEL[:2])
    with pytest.raises(InputError, match=r"a\.png: size 4x2 differs from the image's 4x3"):
        load_pair(_example(data_dir, "a"), 3)


def test_every_message_is_one_line(data_dir):
    Path(data_dir / "JPEGImages" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        load_pair(_example(data_dir, "a"), 3)
    assert "\n" not in str(caught.value)


def test_camvid_reads(camvid):
    labels = read_label_set(camvid)
    assert labels.num_classes == 11
    assert (labels.names[0], labels.names[10]) == ("sky", "bicyclist")
    examples = read_split(camvid, "train")
    assert (len(examples), len(read_split(camvid, "val"))) == (367, 101)
    values = set()
    for example in examples[::40]:
        image, label = load_pair(example, 11)
        assert image.shape == (360, 480, 3)
        values |= set(np.unique(label))
    assert values == {*range(11), 255}
