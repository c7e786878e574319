import dataclasses
import io

import cv2
import numpy as np
import pytest
import scipy.io
from tiny_archives import gradient, label_of, pack, read_all, read_back, stripes, write_files

from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.label_sets import MSRC21
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.msrc21 import (
    ARCHIVE,
    AUTHORS_CLASSES,
    COLORS,
    LISTS,
    Msrc21,
    read_outlines,
    split_of,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

ROOT = "MSRC_ObjCategImageDatabase_v2"
NAMES = {"train": ["1_1_s", "7_13_s"], "val": ["7_30_s"], "test": ["10_32_s", "20_8_s"]}
ALL = [name for names in NAMES.values() for name in names]
IMAGES = {name: gradient(seed) for seed, name in enumerate(ALL)}

# A label in the authors' colors: building, cow, horse, sheep, mountain, aeroplane, black, boat.
# Horse, mountain and black are void, so that the classes after them move up.
STRIPES = np.uint8(
    [
        *((128, 0, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)),
        *((64, 0, 0), (192, 0, 0), (0, 0, 0), (192, 64, 0)),
    ]
)
PICTURE = STRIPES[stripes(range(8))]
LABEL = stripes([0, 3, VOID, 4, VOID, 6, VOID, 20])


def bmp(picture):
    return cv2.imencode(".bmp", picture[..., ::-1])[1].tobytes()


def mat(newseg, newlabels):
    file = io.BytesIO()
    scipy.io.savemat(file, {"newseg": newseg, "newlabels": newlabels})
    return file.getvalue()


def archive_files(label=PICTURE, root=f"{ROOT}/"):
    files = {f"{root}Images/{name}.bmp": bmp(image) for name, image in IMAGES.items()}
    files |= {f"{root}GroundTruth/{name}_GT.bmp": bmp(label) for name in IMAGES}
    return {**files, f"{root}Images/Thumbs.db": b"x", f"{root}readme.txt": "text"}


def run(tmp_path, **options):
    folders = (tmp_path / name for name in ("down", "data", "manual"))
    return prepare("msrc21", *folders, options=options, trust_archives=True)


def read(tmp_path, files=None, **options):
    """{split: {name: label map}} of an archive that is already extracted."""
    write_files(tmp_path / "msrc", files or archive_files())
    return read_all(Msrc21("msrc21", options), {"msrc": tmp_path / "msrc"})


def test_the_archive(tmp_path):
    pack(tmp_path / "manual" / "msrc_objcategimagedatabase_v2.zip", archive_files())
    done = run(tmp_path)
    assert done.counts == {"train": 2, "val": 1, "test": 2, "trainval": 3}
    for split, names in NAMES.items():
        records = read_back(done.folder, split)
        assert [record["name"].decode() for record in records] == names
        for record in records:
            np.testing.assert_array_equal(label_of(record), LABEL)
            image = decode_image(record["image"])
            np.testing.assert_array_equal(image, IMAGES[record["name"].decode()])


def test_without_the_archive(tmp_path, monkeypatch):
    # As without a network.
    monkeypatch.setitem(Msrc21.archives, "msrc", dataclasses.replace(ARCHIVE, url="file:///no"))
    with pytest.raises(InputError, match=r"v2\.zip: cannot be downloaded .* as --manual_dir"):
        prepare("msrc21", tmp_path / "down", tmp_path / "data")


# Classes and colors


def test_the_classes_are_those_of_the_real_data(msrc21):
    assert MSRC21.names == tuple((msrc21 / "classes.txt").read_text().split("\n")[:21])


def test_the_colors_are_the_first_of_the_voc_palette_in_another_order():
    # Every level is 0, 64, 128 or 192, and no color occurs twice.
    colors = [color for color, _ in COLORS]
    assert len(colors) == len(set(colors)) == 24
    assert {level for color in colors for level in color} == {0, 64, 128, 192}
    indices = [index for _, index in COLORS]
    assert indices.count(VOID) == 3 and sorted(indices)[:21] == list(range(21))


def test_a_color_of_no_class(tmp_path):
    with pytest.raises(InputError, match=r"_GT\.bmp: 100\.0% .*have a color that MSRC does not"):
        read(tmp_path, archive_files(np.full((24, 32, 3), 9, np.uint8)))


# Lists


def test_the_last_digit_of_the_number_decides():
    splits = {split_of(f"7_{number}_s") for number in (1, 3, 15, 17, 29)}
    assert splits == {"train"}
    assert {split_of("7_10_s"), split_of("12_30_s")} == {"val"}
    assert {split_of(f"7_{number}_s") for number in (2, 14, 26, 28)} == {"test"}


def test_the_numbers_of_our_split():
    # The authors' scenes have 30 images, except for four.
    scenes = dict.fromkeys(range(1, 21), 30) | {10: 32, 12: 34, 15: 24, 20: 21}
    names = [f"{scene}_{n}_s" for scene, count in scenes.items() for n in range(1, count + 1)]
    assert len(names) == 591
    counts = {split: sum(split_of(name) == split for name in names) for split in LISTS}
    assert counts == Msrc21("msrc21").expected == {"train": 296, "val": 58, "test": 237}


@pytest.mark.parametrize("name", ["street", "7_x_s", "7_1", "_1_s"])
def test_other_names(name):
    with pytest.raises(InputError, match="not an image of MSRC"):
        split_of(name)


def test_textonboosts_lists(tmp_path):
    lists = {"Train.txt": "20_8_s.bmp\r\n1_1_s.bmp\r\n", "Validation.txt": "10_32_s.bmp\n"}
    write_files(tmp_path / "lists", {**lists, "Test.txt": "7_13_s.bmp\n\n"})
    builder = Msrc21("msrc21", {"lists_dir": str(tmp_path / "lists")})
    assert builder.expected == {"train": 276, "val": 59, "test": 256}
    found = read(tmp_path, lists_dir=str(tmp_path / "lists"))
    assert {split: list(labels) for split, labels in found.items()} == {
        "train": ["20_8_s", "1_1_s"],
        "val": ["10_32_s"],
        "test": ["7_13_s"],
    }
    write_files(tmp_path / "lists", {"Test.txt": "7_99_s.bmp\n"})
    with pytest.raises(InputError, match=r"no 7_99_s\.bmp; use the original"):
        read(tmp_path, lists_dir=str(tmp_path / "lists"))
    with pytest.raises(InputError, match=r"Train\.txt: No such file"):
        read(tmp_path, lists_dir=str(tmp_path))


def test_a_label_is_missing(tmp_path):
    files = archive_files(root="")  # some copies have no folder around the two
    del files["GroundTruth/7_13_s_GT.bmp"]
    with pytest.raises(InputError, match=r"no 7_13_s_GT\.bmp; use the original"):
        read(tmp_path, files)


# Outlines


def write_outlines(folder, contents):
    write_files(folder, {f"newsegmentations_mats/{name}_GT.mat": contents for name in ALL})


def test_outlines(tmp_path):
    # Segments 1..4 are a building, a horse, a sheep and a boat; 5 has no label, and 0 is none.
    segments = stripes([1, 2, 3, 4, 5, 0, 3, 3])
    write_outlines(tmp_path, mat(segments, np.array([[1, 5, 6, 23]], np.uint8)))
    found = read(tmp_path, outlines_dir=str(tmp_path / "newsegmentations_mats"))
    expected = stripes([0, VOID, 4, 20, VOID, VOID, 4, 4])
    assert {split: list(labels) for split, labels in found.items()} == NAMES
    for labels in found.values():
        for label in labels.values():
            np.testing.assert_array_equal(label, expected)


def test_every_label_of_the_outlines(tmp_path):
    # In the authors' order, with horse the fifth and mountain the eighth.
    path = tmp_path / "a_GT.mat"
    path.write_bytes(mat(np.arange(1.0, 24)[None].repeat(2, 0), np.arange(1.0, 24)))
    want = [0, 1, 2, 3, VOID, 4, 5, VOID, *range(6, 21)]
    np.testing.assert_array_equal(read_outlines(path), [want, want])
    assert AUTHORS_CLASSES[4] == "horse" and AUTHORS_CLASSES[7] == "mountain"


def test_one_segment(tmp_path):
    path = tmp_path / "a_GT.mat"
    path.write_bytes(mat(np.ones((2, 3), np.uint8), np.uint8([[2]])))
    np.testing.assert_array_equal(read_outlines(path), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("newseg", "newlabels", "message"),
    [
        ([[1, 4], [1, 1]], [2, 3], "segment 4; it should be 0..3"),
        ([[1, 2], [1, 1]], [2, 24], "label 24; it should be 0..23"),
        ([[1.5, 2], [1, 1]], [2, 3], "segment 1.5; it should be"),
        ([1, 2], [2, 3], "a_GT.mat: .* instead of a matrix"),
    ],
)
def test_other_outlines(tmp_path, newseg, newlabels, message):
    path = tmp_path / "a_GT.mat"
    path.write_bytes(mat(np.array(newseg), np.array(newlabels)))
    with pytest.raises(InputError, match=message):
        read_outlines(path)


def test_no_outlines_in_the_folder(tmp_path):
    with pytest.raises(InputError, match=r"no \.mat file there or in its subfolders"):
        read(tmp_path, outlines_dir=str(tmp_path / "nowhere"))
    hidden = tmp_path / "copied" / "._7_1_s_GT.mat"  # beside each file on some disks
    hidden.parent.mkdir()
    hidden.write_bytes(b"attributes")
    with pytest.raises(InputError, match=r"no \.mat file there or in its subfolders"):
        read(tmp_path, outlines_dir=str(hidden.parent))


def test_a_change_of_the_lists_is_noticed(tmp_path):
    pack(tmp_path / "manual" / "msrc_objcategimagedatabase_v2.zip", archive_files())
    lists = {"Train.txt": "20_8_s.bmp\n", "Validation.txt": "7_30_s.bmp\n", "Test.txt": "1_1_s\n"}
    write_files(tmp_path / "lists", lists)
    run(tmp_path, lists_dir=str(tmp_path / "lists"))
    assert not run(tmp_path, lists_dir=str(tmp_path / "lists")).is_new
    write_files(tmp_path / "lists", {"Train.txt": "20_8_s.bmp\n7_13_s.bmp\n"})
    with pytest.raises(InputError, match="lists or classes have changed"):
        run(tmp_path, lists_dir=str(tmp_path / "lists"))
