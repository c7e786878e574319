"""Files of predicted labels, as other programs read them."""

import cv2
import numpy as np
import pytest

from deeplab_tf import InputError
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_sets import CITYSCAPES, VOC
from deeplab_tf.data.prepare.cityscapes import convert
from deeplab_tf.evaluation.predictions import PredictionFiles
from deeplab_tf.labels import LabelSet

AB = LabelSet(("a", "b"), ((10, 20, 30), (200, 100, 0)))


def test_plain_files_are_palette_pngs_in_the_classes_colors(tmp_path):
    files, label = PredictionFiles(AB, "val"), np.uint8([[0, 1, 1]])
    files.write(tmp_path / "new", "street/x", label)
    path = tmp_path / "new" / "street" / "x.png"
    np.testing.assert_array_equal(load_label(path, 2), label)
    np.testing.assert_array_equal(cv2.imread(str(path))[0, :2, ::-1], AB.colors)


@pytest.mark.parametrize(("server", "competition"), [("voc", "comp6"), ("voc_comp5", "comp5")])
def test_the_layout_of_voc(tmp_path, server, competition):
    """The development kit reads palette indices; its palette has an aeroplane dark red."""
    files, label = PredictionFiles(VOC, "test", server), np.uint8([[0, 1, 20]])
    files.write(tmp_path, "2008_000006", label)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    folder = f"results/VOC2012/Segmentation/{competition}_test_cls"
    assert str(path.relative_to(tmp_path)) == f"{folder}/2008_000006.png"
    np.testing.assert_array_equal(load_label(path, 21), label)
    np.testing.assert_array_equal(
        cv2.imread(str(path))[0, :, ::-1], [[0, 0, 0], [128, 0, 0], [0, 64, 128]]
    )


def test_the_label_ids_of_cityscapes(tmp_path):
    files = PredictionFiles(CITYSCAPES, "test", "cityscapes")
    label = np.arange(19, dtype=np.uint8)[None]
    files.write(tmp_path, "berlin_000001_000019", label)
    path = tmp_path / "berlin_000001_000019_pred.png"
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (1, 19) and ids.dtype == np.uint8
    by_name = dict(zip(CITYSCAPES.names, ids[0].tolist(), strict=True))
    assert [by_name[name] for name in ("road", "sky", "train", "bicycle")] == [7, 23, 31, 33]
    np.testing.assert_array_equal(convert(ids, path), label)


@pytest.mark.parametrize(
    "name",
    [
        "berlin_000001_000019",
        "berlin_000001_000019_leftImg8bit",
        "leftImg8bit/test/berlin/berlin_000001_000019_leftImg8bit",
    ],
)
def test_names_of_cityscapes(name):
    files = PredictionFiles(CITYSCAPES, "test", "cityscapes")
    assert files.path(name) == "berlin_000001_000019_pred.png"


def test_other_names_are_refused_for_cityscapes():
    files = PredictionFiles(CITYSCAPES, "test", "cityscapes")
    with pytest.raises(InputError, match=r"image 'berlin_1_19': .* CITY_SEQUENCE_FRAME"):
        files.check_names(["berlin_000001_000019", "berlin_1_19"])


def test_two_images_must_not_share_a_file():
    PredictionFiles(VOC, "val").check_names(["a/x", "b/x", "x"])
    with pytest.raises(InputError, match=r"'a/x' and 'b/x' would be the same file, .*/x\.png"):
        PredictionFiles(VOC, "val", "voc").check_names(["a/x", "c", "b/x"])


@pytest.mark.parametrize(("server", "wanted"), [("voc", 21), ("cityscapes", 19)])
def test_the_servers_classes(server, wanted):
    with pytest.raises(InputError, match=f"server {server} takes {wanted} classes, but .* has 2"):
        PredictionFiles(AB, "test", server)
