import numpy as np
import pytest
from tiny_archives import read_all, write_files
from tiny_parts import (
    contents_of,
    prepare_tiny,
    read_examples,
    write_pascal_context,
    write_voc2010,
)

from deeplab_tf.data.label_sets import PASCAL_CONTEXT
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.pascal_context import OTHER_NAMES, PascalContext, class_lookup, convert
from deeplab_tf.data.records import read_prepared_labels
from deeplab_tf.errors import InputError

# As in the authors' list: alphabetic, and with classes that the 59 do not have.
CLASS_LIST = sorted({*PASCAL_CONTEXT.names[1:], "accordion", "toy car", "unknown", "wool"})
SHAPE = (8, 12)


def _index(name):
    return CLASS_LIST.index(name) + 1


def _write_list(path, names):
    path.write_text("".join(f"{index}: {name}\n" for index, name in enumerate(names, start=1)))
    return path


@pytest.fixture
def labels_txt(tmp_path):
    return _write_list(tmp_path / "labels.txt", CLASS_LIST)


def test_classes_are_found_by_name_and_others_are_background(labels_txt):
    label_map = np.array(
        [
            [_index("aeroplane"), _index("accordion"), 0],
            [_index("wood"), _index("table"), _index("unknown")],
        ],
        np.uint16,
    )
    label = convert(label_map, class_lookup(labels_txt), "a.mat")
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, [[1, 0, 0], [59, 11, 0]])


def test_each_class_is_reached_by_exactly_one_index(labels_txt):
    lookup = class_lookup(labels_txt)
    assert sorted(lookup[lookup > 0]) == list(range(1, 60))
    for label, name in enumerate(PASCAL_CONTEXT.names[1:], start=1):
        assert lookup[_index(name)] == label


def test_the_names_of_the_list_of_59_classes_are_found_too(tmp_path):
    names = [OTHER_NAMES.get(name, name) for name in CLASS_LIST]
    assert {"diningtable", "clothes", "bedcloth"} <= set(names)
    expected = class_lookup(_write_list(tmp_path / "labels.txt", CLASS_LIST))
    np.testing.assert_array_equal(
        class_lookup(_write_list(tmp_path / "others.txt", names)), expected
    )


@pytest.mark.parametrize("missing", ["aeroplane", "table", "wood"])
def test_a_class_that_the_list_lacks_is_an_error(tmp_path, missing):
    path = _write_list(tmp_path / "labels.txt", [n for n in CLASS_LIST if n != missing])
    with pytest.raises(InputError, match=rf"labels\.txt: has no class '{missing}'"):
        class_lookup(path)


@pytest.mark.parametrize("text", ["", "\n", "aeroplane\n", "x: aeroplane\n", "3:\n"])
def test_something_else_is_no_list_of_classes(tmp_path, text):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"labels\.txt: .*use the original list"):
        class_lookup(path)


def test_an_index_beyond_the_list_is_an_error(labels_txt):
    lookup = class_lookup(labels_txt)
    convert(np.full((2, 2), len(CLASS_LIST), np.uint16), lookup, "a.mat")
    for value in (64, -1, 0.5, np.nan):
        with pytest.raises(InputError, match=rf"a\.mat: label {value} but labels\.txt ends at 63"):
            convert(np.full((2, 2), value), lookup, "a.mat")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder, images, `Prepared`).

    Label maps for "b" and "a" of train and "c" of val, none for "d" of val.
    """
    folder = tmp_path_factory.mktemp("pascal_context")
    maps = {name: np.full(SHAPE, _index("sky")) for name in "abc"}
    maps["b"][:, 3:] = _index("table")
    maps["b"][5:] = _index("toy car")
    write_pascal_context(folder / "archives", CLASS_LIST, maps)
    lists = {"train": ["b", "a"], "val": ["c", "d"]}
    images = write_voc2010(folder / "archives", lists, SHAPE)
    return folder, images, prepare_tiny("pascal_context", folder)


def test_archives_become_records(prepared):
    folder, images, done = prepared
    assert done.counts == {"train": 2, "val": 1, "trainval": 3}
    assert read_prepared_labels(folder / "data", "pascal_context") == PASCAL_CONTEXT
    train = read_examples(folder, "pascal_context", "train")
    assert list(train) == ["b", "a"]
    image, label = train["b"]
    assert image == images["b"]
    sky, table = PASCAL_CONTEXT.names.index("sky"), PASCAL_CONTEXT.names.index("table")
    np.testing.assert_array_equal(label, [[sky] * 3 + [table] * 9] * 5 + [[0] * 12] * 3)
    assert list(read_examples(folder, "pascal_context", "trainval")) == ["b", "a", "c"]


def test_originals_are_checked_by_their_checksum(tmp_path, prepared):
    with pytest.raises(InputError, match=r"VOCtrainval_03-May-2010\.tar: its md5 is"):
        prepare("pascal_context", tmp_path / "d", tmp_path / "data", prepared[0] / "archives")
    assert not (tmp_path / "data").exists()


def test_a_damaged_label_map_is_an_error(tmp_path, prepared):
    contents = contents_of(prepared[0], PascalContext.archives)
    _write_list(tmp_path / "labels.txt", CLASS_LIST)
    write_files(tmp_path, {"trainval/a.mat": b"x" * 300, "trainval/c.mat": b""})
    with pytest.raises(InputError, match=r"a\.mat: cut off or damaged"):
        read_all(PascalContext("pascal_context"), {**contents, "labels": tmp_path})
