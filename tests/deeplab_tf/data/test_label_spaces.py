import numpy as np
import pytest
from tiny_heads import COLORS, write_tiny_heads

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.image_files import load_classes, load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.label_spaces import find_spaces, open_heads
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

SIZES = {"thing": 3, "surface": 2}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_heads(tmp_path / "data")


def test_labels_of_all_heads_are_planes_of_one_array(folder):
    examples, labels = open_heads("voc", folder, "train", SIZES)
    assert labels.sizes == SIZES
    assert labels.names[3:] == ("surface/flat", "surface/upright")
    image, label = load_pair(examples[0], labels.num_classes)
    assert label.shape == (*image.shape[:2], 2)
    for index, (space, size) in enumerate((("", 3), ("surface", 2))):
        plain = open_dataset("voc", folder, "train", space=space)[0][0]
        # The second label space has a value that is ignored before its classes.
        right = load_classes(plain, size, examples[0].encodings[index])
        np.testing.assert_array_equal(label[..., index], right)
    np.testing.assert_array_equal(load_classes(examples[0], 5), label)
    assert examples[0].name == "0" and examples[0].label.endswith("SegmentationClass/0.png")


def test_batches_cut_the_same_crop_of_image_and_labels(folder):
    examples, labels = open_heads("voc", folder, "train", SIZES)
    make = {"num_classes": labels.num_classes, "batch_size": 4, "crop_size": 50, "heads": 2}
    batch = next(iter(training_batches(examples, scale_range=(0.7, 1.3), **make)))
    image, label = batch["image"].numpy(), batch["label"].numpy()
    assert label.shape == (4, 50, 50, 2) and label.dtype == np.uint8
    inside = label[..., 0] != VOID
    np.testing.assert_array_equal(label[..., 1] != VOID, inside)  # the padding is that of both
    # Red tells the thing, and blue the surface.
    things = np.abs(image[..., :1] - COLORS[0]).argmin(-1)
    surfaces = np.abs(image[..., 2:] - COLORS[1]).argmin(-1)
    assert (things == label[..., 0])[inside].mean() > 0.85
    assert (surfaces == label[..., 1])[inside].mean() > 0.85


def test_the_name_of_a_head_is_that_of_its_label_space(folder):
    assert find_spaces("voc", folder, ["surface"]) == ["surface"]
    assert find_spaces("voc", folder, ["surface", "anything"]) == ["surface", ""]
    with pytest.raises(InputError, match=r"heads a and b: .* no labels of both.*_b"):
        find_spaces("voc", folder, ["a", "b"])


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"thing": 4}, r"head thing has 4 classes, but .* names 3 in classes.txt; give --heads=th"),
        ({"surface": 3}, r"names 2 in classes_surface.txt; give --heads=surface:2"),
        ({"thing": 3, "other": 2}, r"heads thing and other"),
    ],
)
def test_other_classes_are_refused(folder, sizes, message):
    with pytest.raises(InputError, match=message):
        open_heads("voc", folder, "train", sizes)


def test_labels_that_cannot_be_used_are_named(folder):
    path = folder / "SegmentationClass_surface" / "0.png"
    path.write_bytes(encode_label(np.zeros((5, 5), np.uint8)))
    examples, _ = open_heads("voc", folder, "train", SIZES)
    with pytest.raises(InputError, match=f"^{path}: size 5x5 differs from the other label's 60x"):
        load_pair(examples[0], 5)
    path.write_bytes(encode_label(np.full((48, 60), 7, np.uint8)))
    with pytest.raises(InputError, match=f"^{path}: label value 7"):
        load_pair(examples[0], 5)
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: no such label"):
        open_heads("voc", folder, "train", SIZES)
    with pytest.raises(InputError, match="have labels of some of the heads only"):
        open_heads("voc", folder, "train", SIZES, need_labels=False)
    (folder / "classes_surface.txt").unlink()
    with pytest.raises(InputError, match=r"classes_surface.txt: No such file"):
        open_dataset("voc", folder, "train", need_labels=False, space="surface")
