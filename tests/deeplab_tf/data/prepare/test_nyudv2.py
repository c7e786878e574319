import numpy as np
import pytest
import scipy.io
from tiny_archives import gradient, read_back
from tiny_nyu import write_nyu

from deeplab_tf.data.datasets import dataset_camera, open_dataset
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_sets import NYUDV2
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.nyudv2 import CAMERA, Nyudv2, read_class_map, read_splits
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

SIZE = (24, 32)


def arrays(count, size=SIZE):
    """Images, depths and labels 0..5 that differ in all places."""
    rng = np.random.default_rng(0)
    images = np.stack([gradient(seed, size) for seed in range(count)])
    depths = rng.uniform(0.7, 9.9, (count, *size)).astype(np.float32)
    return images, depths, rng.integers(0, 6, (count, *size))


def place(folder):
    return folder / "downloads", folder / "data"


def prepare_small(folder, **options):
    options = {"nyu_dir": str(folder / "nyu"), "nyu_crop": False, **options}
    return prepare("nyudv2", *place(folder), options=options, trust_archives=True)


def test_from_the_original_layout_to_records(tmp_path):
    images, depths, labels = arrays(4)
    write_nyu(tmp_path / "nyu", images, depths, labels, {"trainNdxs": [4, 1], "testNdxs": [2, 3]})
    done = prepare_small(tmp_path)
    assert done.counts == {"trainval": 2, "test": 2}
    examples, label_set = open_dataset("nyudv2", tmp_path / "data", "trainval")
    assert [example.name for example in examples] == ["img_5004", "img_5001"]
    assert label_set == NYUDV2 and label_set.num_classes == 40
    image, label = load_pair(examples[0], 40)
    np.testing.assert_array_equal(image, images[3])
    # book, bottle, floor, wall and lamp are Gupta's classes 23, 40, 2, 1 and 35.
    expected = np.array([VOID, 22, 39, 1, 0, 34])[labels[3]]
    np.testing.assert_array_equal(label, expected)
    records = read_back(done.folder, "trainval")
    for record, index in zip(records, (3, 0), strict=True):
        np.testing.assert_array_equal(decode_depth(record["depth"]), depths[index])  # exactly
    assert dataset_camera("nyudv2", tmp_path / "data") == CAMERA
    assert not prepare_small(tmp_path).is_new


def test_the_white_frame_is_left_out_with_the_camera(tmp_path):
    images, depths, labels = arrays(1, (480, 640))
    write_nyu(tmp_path, images, depths, labels, gupta={"train": [5001], "val": [5001], "tst": []})
    builder = Nyudv2("nyudv2", {"nyu_dir": str(tmp_path)})
    (frame,) = builder.splits(None)["train"]
    np.testing.assert_array_equal(builder.read_depth(frame), depths[0, 45:470, 40:600])
    assert builder.read_label(frame).shape == (425, 560)
    # The same point of the scene: its pixel moves with the crop.
    assert (builder.camera.fx, builder.camera.fy) == (CAMERA.fx, CAMERA.fy)
    assert (builder.camera.cx + 40, builder.camera.cy + 45) == (CAMERA.cx, CAMERA.cy)


def test_guptas_lists_have_numbers_from_5001(tmp_path):
    path = tmp_path / "nyusplits.mat"
    columns = {"train": [[5003.0]], "val": [[5001.0]], "tst": [[5002.0], [5004.0]]}
    scipy.io.savemat(path, columns)
    assert read_splits(path, 4) == {"train": [2], "val": [0], "test": [1, 3]}
    with pytest.raises(InputError, match=r"nyusplits\.mat: tst lists other images than 5001\.\.50"):
        read_splits(path, 3)
    scipy.io.savemat(path, {"train": [[5003.0]]})
    with pytest.raises(InputError, match=r"nyusplits\.mat: has no variable 'val'"):
        read_splits(path, 4)


def test_class_maps_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "classMapping40.mat"
    scipy.io.savemat(path, {"mapClass": [[1, 41]]})
    with pytest.raises(InputError, match=r"classMapping40\.mat: mapClass is not of the classes 1"):
        read_class_map(path, ["a", "b"], "i.mat")
    scipy.io.savemat(path, {"mapClass": [[1, 40]]})
    np.testing.assert_array_equal(read_class_map(path, ["a", "b"], "i.mat"), [VOID, 0, 39])
    with pytest.raises(InputError, match=r"maps 2 classes, but i\.mat has 3"):
        read_class_map(path, ["a", "b", "c"], "i.mat")


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(InputError, match=r"--nyu_dir is missing; give a folder with nyu_depth_v2"):
        Nyudv2("nyudv2")
    images, depths, labels = arrays(1)
    write_nyu(tmp_path / "nyu", images, depths, labels, {"trainNdxs": [1], "testNdxs": [1]})
    with pytest.raises(InputError, match=r"32x24, but the original has 640x480 .*--nonyu_crop"):
        prepare_small(tmp_path, nyu_crop=True)
    assert not (tmp_path / "data" / "nyudv2" / "1.0.0").exists()
    (tmp_path / "nyu" / "splits.mat").unlink()
    with pytest.raises(InputError, match=r"splits\.mat: no such file, nor nyusplits\.mat"):
        prepare_small(tmp_path)


def test_a_file_that_is_cut_off_is_named(tmp_path):
    write_nyu(tmp_path, *arrays(1), {"trainNdxs": [1], "testNdxs": [1]})
    file = tmp_path / "nyu_depth_v2_labeled.mat"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=r"labeled\.mat: cut off, damaged"):
        Nyudv2("nyudv2", {"nyu_dir": str(tmp_path)}).splits(None)
    file.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"labeled\.mat: cut off, damaged"):
        Nyudv2("nyudv2", {"nyu_dir": str(tmp_path)}).splits(None)
