import cv2
import numpy as np
import pytest

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import parse_entry
from deeplab_tf.data.voc import (
    find_files,
    read_classes,
    read_encoding,
    read_label_set,
    read_split,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelEncoding, LabelSet, voc_colors

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
    assert find_files(data_dir, parse_entry("a.jpg a.png")) == (images / "a.jpg", labels / "a.png")


def test_lists_of_absolute_paths(data_dir, monkeypatch):
    image, label = data_dir / "JPEGImages" / "a.jpg", data_dir / "SegmentationClass" / "a.png"
    _write_list(data_dir, "train", f"{image} {label}\n")
    assert read_split(data_dir, "train") == [Example("a", str(image), str(label))]
    monkeypatch.chdir(data_dir.parent)
    (example,) = read_split(data_dir.name, "train")
    assert example.image == f"{data_dir.name}/JPEGImages/a.jpg"


def test_lists_stay_in_the_folder(data_dir, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    for path in data_dir.rglob("a.*"):
        (outside / path.name).write_bytes(path.read_bytes())
    _write_list(data_dir, "train", f"{outside}/a")
    with pytest.raises(InputError, match=rf"^{data_dir}/.*a\.jpg: no such image"):
        read_split(data_dir, "train")
    _write_list(data_dir, "train", f"{outside}/a.jpg {outside}/a.png")
    with pytest.raises(InputError, match=rf"train\.txt: '{outside}/a\.jpg' is outside of the data"):
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


def test_classes_default_to_voc(data_dir):
    labels = read_label_set(data_dir)
    assert labels == VOC
    assert labels.colors[15] == (192, 128, 128)
    assert read_encoding(data_dir) is None


def test_classes_are_read_without_blank_lines(data_dir):
    (data_dir / "classes.txt").write_text("sky\n\ntraffic light 2\n  road \n")
    labels = read_label_set(data_dir)
    assert labels.names == ("sky", "traffic light 2", "road")
    assert labels.colors[1] == (128, 0, 0)
    assert read_encoding(data_dir) == LabelEncoding.plain(3)


def test_classes_with_colors(data_dir):
    (data_dir / "classes.txt").write_text("traffic light 1 2 3\nroad 4 5 6\nsky 7 8 9\n")
    labels = read_label_set(data_dir)
    assert labels.names == ("traffic light", "road", "sky")
    assert labels.colors == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert read_encoding(data_dir) == LabelEncoding((0, 1, 2), labels.colors)


def test_classes_of_any_file(data_dir):
    path = data_dir / "names"
    path.write_bytes(b"\xef\xbb\xbfroad\r\ncar, truck\r\n")
    label_set, encoding = read_classes(path)
    assert label_set == LabelSet.in_voc_colors(("road", "car, truck"))
    assert encoding.colors is None
    path.write_text("road,128,64,128\ntraffic light 2, 0, 0,1\n")
    label_set, encoding = read_classes(path)
    assert label_set.names == ("road", "traffic light 2")
    assert encoding.colors == label_set.colors == ((128, 64, 128), (0, 0, 1))
    with pytest.raises(InputError, match="nowhere: No such file"):
        read_classes(data_dir / "nowhere")


@pytest.mark.parametrize(
    "first", ["unlabelled void", "unlabelled, void", "void", "Void", "unlabelled VOID", "void void"]
)
def test_lines_marked_as_void_are_no_classes(data_dir, first):
    # The labels' values are 0, 1, 2 and 255; 0 and 2 are ignored.
    (data_dir / "classes.txt").write_text(f"{first}\nsky\nunknown void\nvoid space\navoid\n")
    label_set, encoding = read_label_set(data_dir), read_encoding(data_dir)
    assert label_set.names == ("sky", "void space", "avoid")
    assert encoding == LabelEncoding((255, 0, 255, 1, 2))
    # Each class keeps the color that its value has in VOC's palette.
    np.testing.assert_array_equal(label_set.colors, voc_colors(5)[[1, 3, 4]])
    label = load_pair(read_split(data_dir, "train")[0], 3, encoding)[1]
    np.testing.assert_array_equal(label, np.where(LABEL == 1, 0, 255))


@pytest.mark.parametrize("line", ["unlabelled 9 9 9 void", "unlabelled void 9 9 9", "void,9,9,9"])
def test_colors_marked_as_void(data_dir, line):
    text = f"sky 1 2 3\n{line}\nroad 4 5 6\nother 9 9 9 void\n"
    (data_dir / "classes.txt").write_text(text)
    label_set, encoding = read_label_set(data_dir), read_encoding(data_dir)
    assert label_set == LabelSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)), (9, 9, 9))
    colors = np.uint8([[[4, 5, 6], [9, 9, 9], [1, 2, 3], [224, 224, 192]]] * 3)
    (data_dir / "SegmentationClass" / "a.png").write_bytes(
        cv2.imencode(".png", colors[..., ::-1])[1].tobytes()
    )
    label = load_pair(read_split(data_dir, "train")[1], 2, encoding)[1]
    np.testing.assert_array_equal(label, [[1, 255, 0, 255]] * 3)


def test_values_beyond_the_lines_are_refused(data_dir):
    (data_dir / "classes.txt").write_text("unlabelled void\nsky\n")
    encoding, example = LabelEncoding((255, 0)), read_split(data_dir, "train")[0]
    with pytest.raises(InputError, match=r"b c\.png: label value 2 but only 2 classes \(0\.\.1"):
        load_pair(example, 1, encoding)


@pytest.mark.parametrize("ending", ["_mask", "-label", " gt"])
def test_labels_with_longer_names_are_pointed_to(data_dir, ending):
    labels = data_dir / "SegmentationClass"
    (labels / "a.png").rename(labels / f"a{ending}.png")
    with pytest.raises(
        InputError,
        match=rf"a\.png: no such label, only a{ending}\.png; .*"
        rf"--label_suffix={ending}",
    ):
        read_split(data_dir, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n \n", "lists no class"),
        ("a 1 2 3\nb 4 5 6\nc 1 2 3\n", r"'a' and 'c' have the same color \(1, 2, 3\)"),
        ("a\nb\na\n", "'a' is given twice"),
        ("a 1 2 3\nb\n", "only 1 of 2 classes"),
        ("a 1 2 3\nb 1 2 300\n", "0..255"),
        ("a 1 2 3\nb 4 5 6\nc 1 2 300 void\n", "0..255"),
        ("\n".join(f"c{i}" for i in range(256)), "256 class names"),
        ("building\n", "'building' is the only class; name a background too: 2 classes"),
        ("unlabelled void\nbuilding\n", "'building' is the only class"),
        ("void\nunlabelled void\n", "every line is marked as void"),
        ("a 1 2 3\nb 4 5 6\nc void\n", "only 2 of 3 classes"),
        ("a 1 2 3\nb 4 5 6\nc 1 2 3 void\n", r"'a' and 'void' have the same color \(1, 2, 3\)"),
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


def test_camvid_reads(camvid):
    labels = read_label_set(camvid)
    assert labels.num_classes == 11
    assert read_encoding(camvid) == LabelEncoding.plain(11)
    assert (labels.names[0], labels.names[10]) == ("sky", "bicyclist")
    examples = read_split(camvid, "train")
    assert (len(examples), len(read_split(camvid, "val"))) == (367, 101)
    values = set()
    for example in examples[::40]:
        image, label = load_pair(example, 11)
        assert image.shape == (360, 480, 3)
        values |= set(np.unique(label))
    assert values == {*range(11), 255}
