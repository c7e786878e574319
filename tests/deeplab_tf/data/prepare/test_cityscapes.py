import shutil

import numpy as np
import pytest
from tiny_archives import read_all
from tiny_parts import contents_of, prepare_tiny, read_examples, write_cityscapes

from deeplab_tf.data.label_sets import CITYSCAPES
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.cityscapes import Cityscapes, convert
from deeplab_tf.data.records import read_prepared_labels
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# The official table: label id of each evaluated class.
LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
SHAPE = (4, 8)


def test_every_evaluated_id_becomes_its_class():
    ids = np.array([[LABEL_IDS[name] for name in CITYSCAPES.names]], np.uint8)
    np.testing.assert_array_equal(convert(ids, "a.png"), [np.arange(19)])


def test_all_other_ids_are_void():
    others = sorted({*range(34), 255} - set(LABEL_IDS.values()))
    assert len(others) == 16
    label = convert(np.array([others], np.uint8), "a.png")
    assert label.dtype == np.uint8
    assert set(label.ravel()) == {VOID}


@pytest.mark.parametrize("value", [34, 128, 254])
def test_other_values_are_errors(value):
    ids = np.full((2, 2), 7, np.uint8)
    ids[1, 1] = value
    with pytest.raises(InputError, match=rf"a\.png: label id {value}, but Cityscapes has 0\.\.33"):
        convert(ids, "a.png")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder, images, `Prepared`) of two cities of train, one of val, and a test image."""
    folder = tmp_path_factory.mktemp("cityscapes")
    road = np.full(SHAPE, 7)
    mixed = np.array([[3, 7, 8, 11, 26, 33, 0, 255]] * 4)
    label_ids = {
        ("train", "zurich", "zurich_000000_000019"): road,
        ("train", "aachen", "aachen_000001_000019"): mixed,
        ("train", "aachen", "aachen_000000_000019"): road,
        ("val", "lindau", "lindau_000000_000019"): road,
        ("test", "berlin", "berlin_000000_000019"): np.full(SHAPE, 3),  # a dummy
    }
    images = write_cityscapes(folder / "archives", label_ids)
    return folder, images, prepare_tiny("cityscapes", folder)


def test_archives_become_records_without_the_test_images(prepared):
    folder, images, done = prepared
    assert done.counts == {"train": 3, "val": 1, "trainval": 4}
    assert read_prepared_labels(folder / "data", "cityscapes") == CITYSCAPES
    train = read_examples(folder, "cityscapes", "train")
    assert list(train) == ["aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019"]
    image, label = train["aachen_000001_000019"]
    assert image == images["aachen_000001_000019"]
    np.testing.assert_array_equal(label, [[VOID, 0, 1, 2, 13, 18, VOID, VOID]] * 4)
    val = read_examples(folder, "cityscapes", "val")
    np.testing.assert_array_equal(val["lindau_000000_000019"][1], np.zeros(SHAPE))


@pytest.mark.parametrize("name", ["leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"])
def test_a_missing_archive_names_the_page_to_get_it(tmp_path, prepared, name):
    shutil.copytree(prepared[0] / "archives", tmp_path / "archives")
    (tmp_path / "archives" / name).unlink()
    page = r"https://www\.cityscapes-dataset\.com/downloads/ \(a login is needed\)"
    with pytest.raises(InputError, match=rf"{name}: no such file; download it .*{page}"):
        prepare_tiny("cityscapes", tmp_path)
    assert not (tmp_path / "data").exists()


def test_other_archives_are_not_taken_for_the_originals(tmp_path, prepared):
    with pytest.raises(InputError, match=r"leftImg8bit_trainvaltest\.zip: its md5 is"):
        prepare("cityscapes", tmp_path / "d", tmp_path / "data", prepared[0] / "archives")


def test_an_image_without_label_is_an_error(tmp_path, prepared):
    contents = contents_of(prepared[0], Cityscapes.archives)
    shutil.copytree(contents["labels"], tmp_path / "labels")
    next((tmp_path / "labels").rglob("zurich_000000_000019_gtFine_labelIds.png")).unlink()
    with pytest.raises(InputError, match=r"zurich_000000_000019_gtFine_labelIds\.png: No such"):
        read_all(Cityscapes("cityscapes"), {**contents, "labels": tmp_path / "labels"})
