import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from planted import with_orientation
from tiny_archives import (
    gradient,
    jpeg,
    label_of,
    palette_png,
    png,
    read_all,
    read_back,
    stripes,
    voc_files,
    write_files,
)

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.folder import Folder
from deeplab_tf.data.prepare.origin import fingerprint
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

NAMES = [f"img_{index}" for index in range(6)]
FILES = {
    "images/img_0.jpg": jpeg(gradient(0)),
    "images/img_1.JPEG": jpeg(gradient(1)),
    "images/img_2.png": png(gradient(2)),
    **{f"images/img_{index}.jpg": jpeg(gradient(index)) for index in (3, 4, 5)},
    "images/.hidden.jpg": b"",
    "images/notes.txt": "text",
    **{f"labels/{name}.png": png(stripes([0, i % 3, VOID])) for i, name in enumerate(NAMES)},
    "classes.txt": "ground\nhouse\ntree\n",
}
LABELS = {name: stripes([0, i % 3, VOID]) for i, name in enumerate(NAMES)}

LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]

VOC_NAMES = {"train": {"b": stripes([0, 2]), "a": stripes([1])}, "val": {"c": stripes([255, 1])}}


def options(folder, **more):
    given = {"images_dir": "images", "labels_dir": "labels", "classes": "classes.txt"}
    return {name: str(folder / value) for name, value in given.items()} | more


def read(options):
    """{split: {name: label map}}, without writing anything."""
    return read_all(Folder("folder", options))


def names_of(options):
    return {split: list(labels) for split, labels in read(options).items()}


def run(tmp_path, options, **settings):
    return prepare("folder", tmp_path / "down", tmp_path / "data", options=options, **settings)


def error_of(options):
    with pytest.raises(InputError) as caught:
        read(options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_voc_layout(tmp_path, changes=(), names=VOC_NAMES):
    files = {**voc_files(names, root="mine")[0], **dict(changes)}
    write_files(tmp_path, {name: data for name, data in files.items() if data is not None})
    return {"voc_dir": str(tmp_path / "mine")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Folder of images, labels and classes; tests may only add to copies of it."""
    folder = tmp_path_factory.mktemp("source")
    write_files(folder, FILES)
    return folder


# Which images and labels are read


def test_images_and_labels_are_matched_by_name(tmp_path, source):
    done = run(tmp_path, options(source))
    assert done.counts == {"train": 6}
    records = read_back(done.folder, "train")
    images = {
        path.split("/")[1].split(".")[0]: contents
        for path, contents in FILES.items()
        if path.startswith("images/img")
    }
    for record, name in zip(records, NAMES, strict=True):
        assert record["name"].decode() == name and record["image"] == images[name]
        np.testing.assert_array_equal(label_of(record), LABELS[name])
    metadata = json.loads((done.folder / "metadata.json").read_text())
    assert metadata["classes"] == ["ground", "house", "tree"]


def test_images_and_labels_of_other_formats(tmp_path):
    formats = {"a": (".tif", ".tiff"), "b": (".bmp", ".bmp"), "c": (".WEBP", ".tif")}
    for seed, (name, (image, label)) in enumerate(formats.items()):
        contents = cv2.imencode(image.lower(), gradient(seed)[..., ::-1], LOSSLESS)[1].tobytes()
        write_files(tmp_path / "images", {name + image: contents})
        contents = cv2.imencode(label, LABELS[f"img_{seed}"])[1].tobytes()
        write_files(tmp_path / "labels", {name + label: contents})
    write_files(tmp_path, {"classes.txt": FILES["classes.txt"]})
    records = read_back(run(tmp_path, options(tmp_path)).folder, "train")
    assert [record["name"] for record in records] == [b"a", b"b", b"c"]
    for seed, record in enumerate(records):
        # As PNG, which every reader of TFRecord files knows.
        np.testing.assert_array_equal(tf.io.decode_png(record["image"]), gradient(seed))
        np.testing.assert_array_equal(label_of(record), LABELS[f"img_{seed}"])


def test_large_photographs_are_reduced_with_their_labels(tmp_path):
    # A telephone's photograph, stored upright and to be turned, and one that is small enough.
    large, small = gradient(0, (90, 120)), gradient(1, (30, 40))
    files = {"images/a.jpg": with_orientation(jpeg(large), 6), "images/b.jpg": jpeg(small)}
    labels = {"a": stripes([0, 1], (120, 90)), "b": stripes([0, 1], (30, 40))}
    files |= {f"labels/{name}.png": png(label) for name, label in labels.items()}
    write_files(tmp_path, {**files, "classes.txt": "ground\nhouse\n"})
    done = prepare("folder", tmp_path, tmp_path / "data", options=options(tmp_path, max_side=40))
    a, b = (
        load_pair(example, 2) for example in open_dataset("folder", tmp_path / "data", "train")[0]
    )
    assert a[0].shape == (40, 30, 3) and b[0].shape == (30, 40, 3)
    np.testing.assert_array_equal(a[1], stripes([0, 1], (40, 30)))
    np.testing.assert_array_equal(b[1], labels["b"])
    turned = np.rot90(large, -1).astype(float)
    average = turned.reshape(40, 3, 30, 3, 3).mean((1, 3))
    assert abs(a[0] - average).mean() < 3  # JPEG changes the levels a little
    assert read_back(done.folder, "train")[1]["image"] == files["images/b.jpg"]
    with pytest.raises(InputError, match="was prepared with max_side=40, not None"):
        prepare("folder", tmp_path, tmp_path / "data", options=options(tmp_path))


def test_labels_fit_the_images_as_viewers_show_them(tmp_path):
    image, label = with_orientation(FILES["images/img_0.jpg"], 6), stripes([0, 1], (32, 24))
    files = {"images/a.jpg": image, "labels/a.png": png(label), "classes.txt": "a\nb\n"}
    write_files(tmp_path, files)
    folder = run(tmp_path, options(tmp_path)).folder
    (example,), _ = open_dataset("folder", tmp_path / "data", "train")
    shown, read = load_pair(example, 2)
    np.testing.assert_array_equal(shown, cv2.imread(str(tmp_path / "images/a.jpg"))[..., ::-1])
    np.testing.assert_array_equal(read, label)
    assert read_back(folder, "train")[0]["image"] == image
    write_files(tmp_path, {"labels/a.png": png(stripes([0, 1]))})  # drawn on what is stored
    assert "a.png: label uint8 (24, 32) but the image" in error_of(options(tmp_path))


@pytest.mark.parametrize(
    ("fraction", "val"), [(0.5, [1, 3, 5]), (0.34, [2, 5]), (0.17, [5]), (0.0, [])]
)
def test_validation_images_are_at_even_distances(source, fraction, val):
    expected = {"train": [f"img_{i}" for i in range(6) if i not in val]}
    if val:
        expected["val"] = [f"img_{i}" for i in val]
    assert names_of(options(source, val_fraction=fraction)) == expected


def test_lists(tmp_path, source):
    write_files(tmp_path, {"a.txt": "img_4\n\nimg_1.JPEG\n", "b.txt": "img_3.jpg"})
    paths = {"train_list": str(tmp_path / "a.txt"), "val_list": str(tmp_path / "b.txt")}
    assert names_of(options(source, **paths)) == {"train": ["img_4", "img_1"], "val": ["img_3"]}


def test_lists_of_paths(tmp_path, source):
    lines = "/images/img_4.jpg /labels/img_4.png\nimages/img_1.JPEG\nimg_2.png img_5.png\n"
    write_files(tmp_path, {"list.txt": b"\xef\xbb\xbf" + lines.encode()})
    labels = read(options(source, train_list=str(tmp_path / "list.txt")))["train"]
    assert list(labels) == ["img_4", "img_1", "img_2"]
    np.testing.assert_array_equal(labels["img_2"], LABELS["img_5"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"/images/img_4.jpg /labelsAug/img_4.png", "labels: a list has 'labelsAug/img_4', which"),
        (b"../images/img_4.jpg", "list.txt: '../images/img_4.jpg' leads out of"),
        (b"/etc/img_4.jpg", "images: a list has 'etc/img_4', which is in another folder"),
        (b"caf\xe9", "list.txt: not a text file in UTF-8"),
        (b"img_9", "images: no image of 'img_9'"),
        (b"img_1\nimg_1.JPEG", "list.txt: lists 'img_1' twice"),
        (b"\n", "list.txt: lists no example"),
    ],
)
def test_wrong_lists(tmp_path, source, line, message):
    write_files(tmp_path, {"list.txt": line})
    assert message in error_of(options(source, train_list=str(tmp_path / "list.txt")))


def test_one_image_under_two_names_of_a_list(tmp_path, source):
    write_files(tmp_path, {"list.txt": "img_1\nimages/img_1.JPEG"})
    with pytest.raises(InputError, match="'img_1' is in 'train' and again in 'train'"):
        run(tmp_path, options(source, train_list=str(tmp_path / "list.txt")))
    assert not (tmp_path / "data").exists()


def test_a_name_that_is_not_utf8(tmp_path):
    write_files(tmp_path, FILES)
    name = os.fsencode(tmp_path / "images") + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(name)).write_bytes(jpeg(gradient(9)))
    except OSError:
        pytest.skip("this file system has no such names")
    assert r"images: the name of the file 'caf\udce9.jpg' is" in error_of(options(tmp_path))


def test_classes_of_any_file(tmp_path, source):
    write_files(tmp_path, {"names": b"\xef\xbb\xbfground\r\nhouse\r\ntree"})
    builder = Folder("folder", options(source, classes=str(tmp_path / "names")))
    assert builder.label_set.names == ("ground", "house", "tree")


def test_rgb_labels_in_the_colors_of_the_classes(tmp_path):
    colors = np.array([(9, 9, 9), (200, 0, 0), (0, 70, 0)], np.uint8)
    classes = "".join(f"{n} {r} {g} {b}\n" for n, (r, g, b) in zip("abc", colors, strict=True))
    rgb = {f"labels/{name}.png": png(colors[stripes([0, 2, 1])]) for name in NAMES}
    write_files(tmp_path, {**FILES, **rgb, "classes.txt": classes})
    builder = Folder("folder", options(tmp_path))
    np.testing.assert_array_equal(builder.label_set.colors, colors)
    for label in read_all(builder)["train"].values():
        np.testing.assert_array_equal(label, stripes([0, 2, 1]))


# Labels with longer names


def with_suffix(files, suffix):
    return {
        name.replace(".png", f"{suffix}.png") if name.startswith("labels/") else name: data
        for name, data in files.items()
    }


@pytest.mark.parametrize("suffix", ["_mask", "-gt", "_mask_2"])
def test_labels_with_a_suffix(tmp_path, suffix):
    write_files(tmp_path, with_suffix(FILES, suffix))
    labels = read(options(tmp_path, label_suffix=suffix))["train"]
    assert list(labels) == NAMES
    np.testing.assert_array_equal(labels["img_4"], LABELS["img_4"])
    # It is also found out, even where a name begins with another one.
    more = {"images/img_10.jpg": jpeg(gradient(7)), f"labels/img_10{suffix}.png": png(stripes([1]))}
    write_files(tmp_path, more)
    message = error_of(options(tmp_path))
    assert f"{suffix}.png: labels are named like their image with '{suffix}' added" in message
    assert message.endswith(f"; give --label_suffix={suffix}")


def test_images_and_masks_in_one_folder(tmp_path):
    files = with_suffix(FILES, "_mask")
    both = {name.replace("labels/", "images/"): data for name, data in files.items()}
    write_files(tmp_path, both)
    given = options(tmp_path, labels_dir=str(tmp_path / "images"))
    assert "give --label_suffix=_mask" in error_of(given)
    assert list(read(given | {"label_suffix": "_mask"})["train"]) == NAMES


def test_lists_of_labels_with_a_suffix(tmp_path):
    lines = "images/img_4.jpg labels/img_4_mask.png\nimg_1\n"
    write_files(tmp_path, {**with_suffix(FILES, "_mask"), "list.txt": lines})
    given = options(tmp_path, label_suffix="_mask", train_list=str(tmp_path / "list.txt"))
    assert list(read(given)["train"]) == ["img_4", "img_1"]
    # A list of paths names the labels, so it needs no suffix; names alone do.
    del given["label_suffix"]
    assert "give --label_suffix=_mask" in error_of(given)
    write_files(tmp_path, {"list.txt": lines.splitlines()[0]})
    assert list(read(given)["train"]) == ["img_4"]


def test_a_suffix_that_no_label_has(tmp_path, source):
    assert "labels: no label there ends with _seg" in error_of(options(source, label_suffix="_seg"))
    # Names of which one is longer than another are no reason to suggest a suffix.
    names = [str(number) for number in range(1, 13)]
    files = {f"images/{name}.jpg": jpeg(gradient(0)) for name in names}
    files |= {f"labels/{name}.png": png(stripes([0])) for name in names[:-1]}
    write_files(tmp_path, {**files, "classes.txt": FILES["classes.txt"]})
    assert "labels: no label of '12'" in error_of(options(tmp_path))


# Classes


def test_ignored_values(tmp_path):
    write_files(tmp_path, {**FILES, "classes.txt": "ground\nhouse void\ntree\n"})
    builder = Folder("folder", options(tmp_path))
    assert builder.label_set.names == ("ground", "tree")
    labels = read_all(builder)["train"]
    for name, middle in zip(NAMES, [0, VOID, 1] * 2, strict=True):
        np.testing.assert_array_equal(labels[name], stripes([0, middle, VOID]))


def test_one_class(tmp_path):
    write_files(tmp_path, {**FILES, "classes.txt": "building\n"})
    with pytest.raises(InputError, match=r"classes\.txt: 'building' is the only class; name a"):
        run(tmp_path, options(tmp_path))
    assert not (tmp_path / "data").exists()


def test_voc_layout(tmp_path):
    given = write_voc_layout(tmp_path, {"mine/classes.txt": "x\ny\nz\n"})
    labels = read(given)
    assert {split: list(found) for split, found in labels.items()} == {
        "train": ["b", "a"],
        "val": ["c"],
    }
    np.testing.assert_array_equal(labels["val"]["c"], stripes([255, 1]))
    assert Folder("folder", given).label_set.names == ("x", "y", "z")


def test_voc_layout_with_lists_of_paths_and_capitals(tmp_path):
    image = voc_files(VOC_NAMES, root="mine")[0]["mine/JPEGImages/b.jpg"]
    changes = {
        "mine/JPEGImages/b.jpg": None,
        "mine/JPEGImages/b.JPG": image,
        "mine/Aug/a.png": png(stripes([20])),
        "mine/ImageSets/Segmentation/train.txt": "/JPEGImages/a.jpg /Aug/a.png\nb.jpg\n",
    }
    labels = read(write_voc_layout(tmp_path, changes))["train"]
    assert list(labels) == ["a", "b"]
    np.testing.assert_array_equal(labels["a"], stripes([20]))
    np.testing.assert_array_equal(labels["b"], VOC_NAMES["train"]["b"])


def test_voc_layout_without_validation(tmp_path):
    given = write_voc_layout(tmp_path, names={"train": {"a": stripes([1])}})
    assert names_of(given) == {"train": ["a"]}


# The second time


def test_changed_files_are_noticed(tmp_path):
    write_files(tmp_path, {**FILES, "list.txt": "img_2\nimg_5\n"})
    given = options(tmp_path, train_list=str(tmp_path / "list.txt"))
    folder = run(tmp_path, given).folder
    assert not run(tmp_path, given).is_new
    for changed in ("images/img_2.png", "list.txt", "classes.txt", "labels/img_5.png"):
        path = tmp_path / changed
        contents, times = path.read_bytes(), path.stat()
        path.write_bytes(png(stripes([2])) if path.suffix == ".png" else contents + b"\n")
        with pytest.raises(InputError, match=r"1\.0\.0: images, .* have changed .*; give --overw"):
            run(tmp_path, given)
        if changed != "labels/img_5.png":
            path.write_bytes(contents)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert not run(tmp_path, given).is_new
    run(tmp_path, given, overwrite=True)
    np.testing.assert_array_equal(label_of(read_back(folder, "train")[1]), stripes([2]))
    assert not run(tmp_path, given).is_new


def state(options):
    """What a later run compares."""
    builder = Folder("folder", options)
    return builder.options, fingerprint(builder.source_files())


def test_an_added_image_is_noticed(tmp_path):
    write_files(tmp_path, FILES)
    before = state(options(tmp_path))
    more = {"images/img_6.jpg": jpeg(gradient(6)), "labels/img_6.png": png(stripes([1]))}
    write_files(tmp_path, more)
    assert state(options(tmp_path)) != before


def test_added_classes_of_a_voc_layout_are_noticed(tmp_path):
    given = write_voc_layout(tmp_path)
    before = state(given)
    assert state(given) == before
    write_files(tmp_path, {"mine/classes.txt": "\n".join(f"class {i}" for i in range(21))})
    assert state(given) != before


def test_relative_paths(tmp_path, monkeypatch):
    write_voc_layout(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    before = state({"voc_dir": "mine"})
    for same in ("./mine", "../here/mine", str(tmp_path / "here" / "mine")):
        assert state({"voc_dir": same}) == before
    monkeypatch.chdir(tmp_path / "there")
    assert state({"voc_dir": "mine"}) != before


def test_a_folder_named_like_a_home(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = prepare("folder", "down", "~/data", options=options(source))
    assert done.folder.is_dir() and done.folder == Path("~/data/folder/1.0.0")
    assert not (tmp_path / "home").exists()


# Wrong options and files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--images_dir is missing"),
        ({"images_dir": "x", "labels_dir": "x"}, "--classes is missing"),
        ({"voc_dir": "x", "classes": "x"}, "--voc_dir and --classes: "),
        ({"voc_dir": "missing"}, "missing: no such folder"),
        ({"voc_dir": ""}, "--images_dir is missing"),
    ],
)
def test_missing_options(given, message):
    assert message in error_of(given)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"val_fraction": 0.5, "val_list": "x"}, "--val_fraction and a list"),
        ({"val_fraction": 1.0}, "--val_fraction=1.0: give at least 0 and less than 1"),
        ({"val_fraction": 0.1}, "--val_fraction=0.1: none of the 6 images is left for validation"),
        ({"train_list": "nowhere.txt"}, "nowhere.txt: No such file"),
        ({"val_list": "x"}, "--val_list without --train_list"),
        ({"val_fraction": float("nan")}, "--val_fraction=nan: give at least 0"),
        ({"classes": "names.txt"}, "names.txt: No such file"),
        ({"images_dir": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_wrong_options(source, more, message):
    assert message in error_of(options(source, **more))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels/img_3.png": None}, "labels: no label of 'img_3'"),
        ({"images/img_3.jpg": None}, "img_3.png: no image of this name in "),
        ({"images/img_3.png": b""}, "img_3.png: img_3.jpg has the same name"),
        ({"labels/img_3.png": png(stripes([3]))}, "img_3.png: label value 3 but only 3 classes"),
        ({"labels/img_3.png": palette_png(stripes([1], (5, 5)))}, "img_3.png: label uint8"),
        ({"images/img_3.jpg": jpeg(gradient(3))[:200]}, "img_3.jpg: cannot be read"),
        ({"classes.txt": ""}, "classes.txt: lists no class"),
        ({"classes.txt": "a 1 1 1\nb 1 1 1\nc 2 2 2"}, "classes.txt: 'a' and 'b' have the same"),
        ({"images/img_3.jpg": b"GIF89a"}, "img_3.jpg: cannot be read: not a JPEG, PNG"),
    ],
)
def test_wrong_files(tmp_path, changes, message):
    files = {**FILES, **changes}
    write_files(tmp_path, {name: data for name, data in files.items() if data is not None})
    assert message in error_of(options(tmp_path))
