import numpy as np

from deeplab_tf.data.datasets import further_spaces, open_dataset
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.synthetic_heads import SHADES, shades_of, write_synthetic_heads


def test_objects_are_dark_or_light():
    image = np.uint8([[[9] * 3, [250] * 3, [0, 127, 254], [127] * 3]])
    forms = np.uint8([[0, 1, 2, 2]])
    assert shades_of(image, forms).tolist() == [[0, 2, 1, 1]]
    image[0, 3] = 130
    assert shades_of(image, forms).tolist() == [[0, 2, 2, 2]]


def test_scenes_of_forms_get_a_second_label(tmp_path):
    size = (128, 128)
    write_synthetic_heads(tmp_path / "heads", 2, 1, size, seed=3)
    write_synthetic(tmp_path / "forms", 2, 1, size, seed=3)
    assert further_spaces("synthetic_heads", tmp_path / "heads") == ("shade",)
    shades, label_set = open_dataset("synthetic_heads", tmp_path / "heads", "train", space="shade")
    assert label_set.names == SHADES == ("background", "dark", "light")
    forms, _ = open_dataset("synthetic_heads", tmp_path / "heads", "train")
    plain, _ = open_dataset("synthetic", tmp_path / "forms", "train")
    for shade, form, other in zip(shades, forms, plain, strict=True):
        image, first = load_pair(form, 7)
        np.testing.assert_array_equal(first, load_pair(other, 7)[1])
        np.testing.assert_array_equal(load_pair(shade, 3)[1], shades_of(image, first))
