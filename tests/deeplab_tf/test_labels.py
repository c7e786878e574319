import json

import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, LabelEncoding, LabelSet, voc_colors


def test_voc_colors_of_known_classes():
    colors = voc_colors(21)
    assert colors.dtype == np.uint8
    assert colors[0].tolist() == [0, 0, 0]
    assert colors[1].tolist() == [128, 0, 0]
    assert colors[3].tolist() == [128, 128, 0]
    assert colors[8].tolist() == [64, 0, 0]
    assert colors[15].tolist() == [192, 128, 128]
    assert colors[20].tolist() == [0, 64, 128]


def test_voc_colors_all_differ_and_end_with_void():
    colors = voc_colors(256)
    assert len(np.unique(colors, axis=0)) == 256
    assert colors[VOID].tolist() == [224, 224, 192]
    assert voc_colors(0).shape == (0, 3)


def test_color_table_holds_own_colors_then_the_palette_then_void():
    table = LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6))).color_table()
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    assert table[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table[2].tolist() == voc_colors(3)[2].tolist()
    assert table[VOID].tolist() == [224, 224, 192]


def test_generic_names_and_colors():
    labels = LabelSet.generic(3)
    assert labels.num_classes == 3
    assert labels.names == ("class 0", "class 1", "class 2")
    assert labels.colors == ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def test_save_and_load_give_the_same_back(tmp_path):
    labels = LabelSet(("Straße", "car"), ((1, 2, 3), (255, 0, 7)))
    path = tmp_path / "labels.json"
    labels.save(path)
    assert LabelSet.load(path) == labels
    assert [file.name for file in tmp_path.iterdir()] == ["labels.json"]


def test_a_set_from_lists_equals_one_from_tuples():
    made = LabelSet(["a", "b"], np.array([[1, 2, 3], [4, 5, 6]]))
    assert made == LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert hash(made) == hash(LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6))))


@pytest.mark.parametrize(
    ("names", "colors", "message"),
    [
        ((), (), "0 class names"),
        (("a", "b", "a"), ((0, 0, 0),) * 3, "'a' is given twice"),
        (("a", "b"), ((0, 0, 0),), "1 colors for 2 classes"),
        (("car",), ((0, 0, 0),), "'car' is the only class; name a background too: 2 classes"),
        (("a", "b"), ((0, 0, 0), (0, 0, 256)), "0..255"),
        (("a", "b"), ((0, 0), (0, 0)), "three whole numbers"),
    ],
)
def test_refuses_what_makes_no_label_set(names, colors, message):
    with pytest.raises(InputError, match=message):
        LabelSet(names, colors)


def test_a_class_is_found_by_its_name():
    labels = LabelSet.in_voc_colors(("sky", "car"))
    assert [labels.index_of(name) for name in ("sky", "car")] == [0, 1]
    with pytest.raises(InputError) as error:
        labels.index_of("cat")
    assert str(error.value) == "no class 'cat' (did you mean 'car'?); the classes are sky, car"
    with pytest.raises(InputError, match="no class 'x'; the classes are sky, car"):
        labels.index_of("x")


def test_refuses_256_classes():
    with pytest.raises(InputError, match="256 class names"):
        LabelSet.generic(256)
    assert LabelSet.generic(255).num_classes == 255


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", '{"names": 3, "colors": []}'])
def test_load_names_a_broken_file(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"labels\.json"):
        LabelSet.load(path)


def test_load_names_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        LabelSet.load(tmp_path / "none.json")


def test_void_color_is_saved_and_drawn(tmp_path):
    label_set = LabelSet(("a", "b"), ((1, 2, 3), (7, 8, 9)), void_color=[4, 5, 6])
    path = tmp_path / "labels.json"
    label_set.save(path)
    assert json.loads(path.read_text())["void"] == {"value": 255, "color": [4, 5, 6]}
    assert LabelSet.load(path) == label_set
    np.testing.assert_array_equal(label_set.color_table()[[0, 255]], [[1, 2, 3], [4, 5, 6]])


def test_loads_files_from_before_they_named_void(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"names": ["a", "b"], "colors": [[1, 2, 3], [4, 5, 6]]}')
    assert LabelSet.load(path) == LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6)))


def test_values_of_files_become_class_indices():
    encoding = LabelEncoding((VOID, 0, VOID, 1))
    assert encoding.num_values == 4
    values = np.uint8([[0, 1, 2, 3, 255]])
    np.testing.assert_array_equal(encoding.to_classes(values), [[255, 0, 255, 1, 255]])
    plain = LabelEncoding.plain(3)
    assert plain == LabelEncoding([0, 1, 2]) and plain.colors is None
    np.testing.assert_array_equal(plain.to_classes(values), values)
    with pytest.raises(InputError, match="three whole numbers"):
        LabelEncoding((0, 1), ((0, 0, 0), (0, 0, 300)))
