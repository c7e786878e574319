import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_archives import (
    gradient,
    jpeg,
    label_of,
    palette_png,
    png,
    read_back,
    stripes,
    voc_files,
    write_files,
)

from deeplab_tf.data.prepare import prepare
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


VOC_NAMES = {"train": {"b": stripes([0, 2]), "a": stripes([1])}, "val": {"c": stripes([255, 1])}}


def options(tmp_path, **more):
    given = {"images_dir": "images", "labels_dir": "labels", "classes": "classes.txt"}
    return {name: str(tmp_path / value) for name, value in given.items()} | more


def run(tmp_path, options, **settings):
    return prepare("folder", tmp_path / "down", tmp_path / "data", options=options, **settings)


def names_of(done, split):
    return [record["name"].decode() for record in read_back(done.folder, split)]


def assert_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_images_and_labels_are_matched_by_name(tmp_path):
    write_files(tmp_path, FILES)
    done = run(tmp_path, options(tmp_path))
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


@pytest.mark.parametrize(
    ("fraction", "val"), [(0.5, [1, 3, 5]), (0.34, [2, 5]), (0.17, [5]), (0.0, [])]
)
def test_validation_images_are_spread_evenly(tmp_path, fraction, val):
    write_files(tmp_path, FILES)
    done = run(tmp_path, options(tmp_path, val_fraction=fraction))
    assert done.counts["train"] == 6 - len(val)
    if val:
        assert names_of(done, "val") == [f"img_{index}" for index in val]
        assert done.counts["trainval"] == 6


def test_lists(tmp_path):
    lists = {"a.txt": "img_4\n\nimg_1.JPEG\n", "b.txt": "img_3.jpg"}
    write_files(tmp_path, {**FILES, **lists})
    paths = {"train_list": str(tmp_path / "a.txt"), "val_list": str(tmp_path / "b.txt")}
    done = run(tmp_path, options(tmp_path, **paths))
    assert names_of(done, "train") == ["img_4", "img_1"]
    assert names_of(done, "val") == ["img_3"]


def test_lists_of_paths(tmp_path):
    lines = "/images/img_4.jpg /labels/img_4.png\nimages/img_1.JPEG\nimg_2.png img_5.png\n"
    write_files(tmp_path, {**FILES, "list.txt": b"\xef\xbb\xbf" + lines.encode()})
    done = run(tmp_path, options(tmp_path, train_list=str(tmp_path / "list.txt")))
    records = read_back(done.folder, "train")
    assert [record["name"].decode() for record in records] == ["img_4", "img_1", "img_2"]
    np.testing.assert_array_equal(label_of(records[2]), LABELS["img_5"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"/images/img_4.jpg /labelsAug/img_4.png", "labels: a list has 'labelsAug/img_4', which"),
        (b"../images/img_4.jpg", r"list\.txt: '\.\./images/img_4\.jpg' leads out of"),
        (b"/etc/img_4.jpg", "images: a list has 'etc/img_4', which is in another folder"),
        (b"caf\xe9", r"list\.txt: not a text file in UTF-8"),
        (b"img_9", "images: no image of 'img_9'"),
        (b"img_1\nimg_1.JPEG", r"list\.txt: lists 'img_1' twice"),
        (b"img_1\nimages/img_1.JPEG", "'img_1' is in 'train' and again in 'train'"),
        (b"\n", r"list\.txt: lists no example"),
    ],
)
def test_wrong_lists(tmp_path, line, message):
    write_files(tmp_path, {**FILES, "list.txt": line})
    assert_refused(tmp_path, options(tmp_path, train_list=str(tmp_path / "list.txt")), message)


def test_a_name_that_is_no_text(tmp_path):
    write_files(tmp_path, FILES)
    name = os.fsencode(tmp_path / "images") + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(name)).write_bytes(jpeg(gradient(9)))
    except OSError:
        pytest.skip("this file system has no such names")
    assert_refused(
        tmp_path, options(tmp_path), r"images: the name of the file 'caf\\udce9\.jpg' is"
    )


def test_classes_of_any_file(tmp_path):
    write_files(tmp_path, {**FILES, "names": b"\xef\xbb\xbfground\r\nhouse\r\ntree"})
    done = run(tmp_path, options(tmp_path, classes=str(tmp_path / "names")))
    metadata = json.loads((done.folder / "metadata.json").read_text())
    assert metadata["classes"] == ["ground", "house", "tree"]


# The second time


@pytest.mark.parametrize(
    "changed", ["labels/img_5.png", "images/img_2.png", "list.txt", "classes.txt"]
)
def test_changed_files_are_not_taken_for_prepared(tmp_path, changed):
    write_files(tmp_path, {**FILES, "list.txt": "img_2\nimg_5\n"})
    given = options(tmp_path, train_list=str(tmp_path / "list.txt"))
    run(tmp_path, given)
    assert not run(tmp_path, given).is_new
    contents = (tmp_path / changed).read_bytes()
    new = png(stripes([2])) if changed.endswith(".png") else contents + b"\n"
    (tmp_path / changed).write_bytes(new)
    with pytest.raises(InputError, match=r"1\.0\.0: images, .* have changed .*; give --overwrite"):
        run(tmp_path, given)
    run(tmp_path, given, overwrite=True)
    if changed == "labels/img_5.png":
        examples = read_back(tmp_path / "data" / "folder" / "1.0.0", "train")
        np.testing.assert_array_equal(label_of(examples[1]), stripes([2]))
    assert not run(tmp_path, given).is_new


def test_an_image_that_is_added(tmp_path):
    write_files(tmp_path, FILES)
    run(tmp_path, options(tmp_path))
    more = {"images/img_6.jpg": jpeg(gradient(6)), "labels/img_6.png": png(stripes([1]))}
    write_files(tmp_path, more)
    with pytest.raises(InputError, match="have changed"):
        run(tmp_path, options(tmp_path))


def test_voc_layout_that_changed(tmp_path):
    files, _ = voc_files(VOC_NAMES, root="mine")
    write_files(tmp_path, files)
    given = {"voc_dir": str(tmp_path / "mine")}
    run(tmp_path, given)
    assert not run(tmp_path, given).is_new
    write_files(tmp_path, {"mine/classes.txt": "\n".join(f"class {i}" for i in range(21))})
    with pytest.raises(InputError, match="have changed"):
        run(tmp_path, given)


def test_relative_paths(tmp_path, monkeypatch):
    files, _ = voc_files(VOC_NAMES, root="here/mine")
    write_files(tmp_path, {**files, "there/x": ""})
    shutil.copytree(tmp_path / "here" / "mine", tmp_path / "there" / "mine")
    monkeypatch.chdir(tmp_path / "here")
    run(tmp_path, {"voc_dir": "mine"})
    for same in ("./mine", "../here/mine", str(tmp_path / "here" / "mine")):
        assert not run(tmp_path, {"voc_dir": same}).is_new
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(InputError, match=r"was prepared with voc_dir=.*/here/mine, not .*/there/m"):
        run(tmp_path, {"voc_dir": "mine"})


def test_a_folder_named_like_a_home(tmp_path, monkeypatch):
    write_files(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = prepare("folder", "down", "~/data", options=options(tmp_path))
    assert done.folder.is_dir() and done.folder == Path("~/data/folder/1.0.0")
    assert not (tmp_path / "home").exists()


def test_rgb_labels_in_the_colors_of_the_classes(tmp_path):
    colors = np.array([(9, 9, 9), (200, 0, 0), (0, 70, 0)], np.uint8)
    classes = "".join(f"{n} {r} {g} {b}\n" for n, (r, g, b) in zip("abc", colors, strict=True))
    rgb = {f"labels/{name}.png": png(colors[stripes([0, 2, 1])]) for name in NAMES}
    write_files(tmp_path, {**FILES, **rgb, "classes.txt": classes})
    done = run(tmp_path, options(tmp_path))
    metadata = json.loads((done.folder / "metadata.json").read_text())
    assert metadata["colors"] == colors.tolist()
    for record in read_back(done.folder, "train"):
        np.testing.assert_array_equal(label_of(record), stripes([0, 2, 1]))


def test_voc_layout(tmp_path):
    files, images = voc_files(VOC_NAMES, root="mine")
    write_files(tmp_path, {**files, "mine/classes.txt": "x\ny\nz\n"})
    done = run(tmp_path, {"voc_dir": str(tmp_path / "mine")})
    assert done.counts == {"train": 2, "val": 1, "trainval": 3}
    assert names_of(done, "train") == ["b", "a"]
    (record,) = read_back(done.folder, "val")
    assert record["image"] == images["c"]
    np.testing.assert_array_equal(label_of(record), stripes([255, 1]))


def test_voc_layout_with_lists_of_paths_and_capitals(tmp_path):
    files, _ = voc_files(VOC_NAMES, root="mine")
    files["mine/JPEGImages/b.JPG"] = files.pop("mine/JPEGImages/b.jpg")
    files["mine/Aug/a.png"] = png(stripes([20]))
    files["mine/ImageSets/Segmentation/train.txt"] = "/JPEGImages/a.jpg /Aug/a.png\nb.jpg\n"
    write_files(tmp_path, files)
    done = run(tmp_path, {"voc_dir": str(tmp_path / "mine")})
    a, b = read_back(done.folder, "train")
    assert (a["name"], b["name"]) == (b"a", b"b")
    np.testing.assert_array_equal(label_of(a), stripes([20]))
    np.testing.assert_array_equal(label_of(b), VOC_NAMES["train"]["b"])


def test_voc_layout_without_validation(tmp_path):
    files, _ = voc_files({"train": {"a": stripes([1])}}, root="mine")
    write_files(tmp_path, files)
    assert run(tmp_path, {"voc_dir": str(tmp_path / "mine")}).counts == {"train": 1}


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
def test_what_is_not_given(tmp_path, given, message):
    assert_refused(tmp_path, given, message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"val_fraction": 0.5, "val_list": "x"}, "--val_fraction and a list"),
        ({"val_fraction": 1.0}, "--val_fraction=1.0: give 0 or more, below 1"),
        ({"val_fraction": 0.1}, "--val_fraction=0.1: no image of 6 is left for validation"),
        ({"train_list": "nowhere.txt"}, "nowhere.txt: No such file"),
        ({"val_list": "x"}, "--val_list without --train_list"),
        ({"val_fraction": float("nan")}, "--val_fraction=nan: give 0 or more"),
        ({"classes": "names.txt"}, "names.txt: No such file"),
        ({"images_dir": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_wrong_options(tmp_path, more, message):
    write_files(tmp_path, FILES)
    assert_refused(tmp_path, options(tmp_path, **more), message)


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
        ({"images/img_3.jpg": b"GIF89a"}, "img_3.jpg: cannot be read: neither JPEG nor PNG"),
    ],
)
def test_wrong_files(tmp_path, changes, message):
    files = {**FILES, **changes}
    write_files(tmp_path, {name: data for name, data in files.items() if data is not None})
    assert_refused(tmp_path, options(tmp_path), message)
