import numpy as np
import pytest
import scipy.io
from tiny_siftflow import SCENES, scene, write_siftflow

from deeplab_tf.data.datasets import further_spaces, open_dataset
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_sets import SIFTFLOW, SIFTFLOW_GEOMETRIC
from deeplab_tf.data.label_spaces import open_heads
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.siftflow import NOT_ANNOTATED, Siftflow, read_classes, read_test_list
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

TRAINVAL = ["b", NOT_ANNOTATED[0], "a"]
TEST = ["d", "c"]
HEADS = {"semantic": 33, "geometric": 3}


def test_from_the_original_layout_to_records(tmp_path):
    folder = write_siftflow(tmp_path / "original", TRAINVAL, TEST)
    done = prepare(
        "siftflow",
        tmp_path / "downloads",
        tmp_path / "data",
        options={"siftflow_dir": str(folder)},
        trust_archives=True,
    )
    assert done.counts == {"trainval": 2, "test": 2}
    assert further_spaces("siftflow", tmp_path / "data") == ("geometric",)
    for split, seeds in (("trainval", {"a": 2, "b": 0}), ("test", {"d": 3, "c": 4})):
        examples, labels = open_heads("siftflow", tmp_path / "data", split, HEADS)
        assert labels.label_sets == (SIFTFLOW, SIFTFLOW_GEOMETRIC)
        assert [example.name for example in examples] == list(seeds)
        for example, seed in zip(examples, seeds.values(), strict=True):
            found, label = load_pair(example, 36)
            image, semantic, geometric = scene(seed)
            assert np.abs(found.astype(int) - image).mean() < 8  # a JPEG
            # 0 and -1 are not labeled, and become 255.
            np.testing.assert_array_equal(label[..., 0], np.uint8(semantic - 1))
            expected = np.where(geometric > 0, geometric - 1, VOID)
            np.testing.assert_array_equal(label[..., 1], expected)
    plain, label_set = open_dataset("siftflow", tmp_path / "data", "test", space="geometric")
    assert label_set == SIFTFLOW_GEOMETRIC
    np.testing.assert_array_equal(load_pair(plain[1], 3)[1], label[..., 1])


def test_the_classes_are_those_of_the_fcn_authors_list():
    # Numbers of their classes.txt, from 1.
    numbers = {"awning": 1, "building": 6, "moon": 16, "rock": 23, "sky": 28, "window": 33}
    assert {name: 1 + SIFTFLOW.index_of(name) for name in numbers} == numbers
    assert SIFTFLOW.num_classes == 33
    assert Siftflow.expected == {"trainval": 2688 - 200 - 2, "test": 200}


@pytest.mark.parametrize("form", ["{}", "{}.jpg", "x/{}.jpg", "x\\{}.jpg", "/x/y/{}.mat"])
def test_lines_of_the_list_may_be_paths(tmp_path, form):
    path = tmp_path / "TestSet1.txt"
    path.write_text("\n".join(form.format(name) for name in TEST))
    assert read_test_list(path, {*TRAINVAL, *TEST}) == TEST
    path.write_text(form.format("e"))
    with pytest.raises(InputError, match=r"TestSet1.txt: lists 'e' but there is no such image"):
        read_test_list(path, {*TEST})
    path.write_text("")
    with pytest.raises(InputError, match=r"TestSet1.txt: lists no image"):
        read_test_list(path, {*TEST})


def test_label_files_that_are_something_else_are_named(tmp_path):
    path = tmp_path / "a.mat"
    for variables, message in (
        ({"T": [[1]]}, "has no variable 'S'"),
        ({"S": [[1, 4], [0, 0]]}, "value 4, but there are 3 classes"),
        ({"S": [[1, 2], [0, 0]], "names": np.array(["a", "b", "c"], object)}, "classes a, b, c in"),
    ):
        scipy.io.savemat(path, variables)
        with pytest.raises(InputError, match=rf"a\.mat: {message}"):
            read_classes(path, SIFTFLOW_GEOMETRIC.names)


def test_parts_of_the_archive_that_are_missing_are_named(tmp_path):
    with pytest.raises(InputError, match="--siftflow_dir is missing"):
        Siftflow("siftflow")
    folder = write_siftflow(tmp_path / "original", TRAINVAL, TEST)
    options = {"siftflow_dir": str(folder)}
    (folder / "GeoLabels" / SCENES / "c.mat").unlink()
    with pytest.raises(InputError, match=r"GeoLabels: no c\.mat"):
        Siftflow("siftflow", options).splits({})
    (folder / "TestSet1.txt").unlink()
    with pytest.raises(InputError, match=r"TestSet1\.txt: not there"):
        Siftflow("siftflow", options)
