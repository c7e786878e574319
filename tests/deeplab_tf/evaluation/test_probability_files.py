"""Files are read back by NumPy, OpenCV and Pillow, as users read them."""

import json
import resource
import signal

import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import probability_files
from deeplab_tf.evaluation.photographs import enlarge
from deeplab_tf.evaluation.probability_files import (
    INDEX,
    check_npz,
    check_pngs,
    in_file_name,
    load_probabilities,
    save_npz,
    save_pngs,
)

NAMES = ("sky", "traffic light/sign", "Straße")
FILES = ["000_sky.png", "001_traffic_light_sign.png", "002_Straße.png"]
# Two rows, three columns, three classes.
BY_HAND = np.float32(
    [
        [[1, 0, 0], [0, 1, 0], [0.5, 0.25, 0.25]],
        [[0.2, 0.31, 0.49], [1 / 3, 1 / 3, 1 / 3], [0.91, 0.09, 0]],
    ]
)


def random_probabilities(height, width, classes=5):
    scores = np.random.default_rng(0).normal(size=(height, width, classes), scale=3)
    powers = np.exp(scores)
    return (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32)


def test_values_of_the_pngs_by_hand(tmp_path):
    save_pngs(tmp_path / "scene", BY_HAND, NAMES)
    assert sorted(file.name for file in (tmp_path / "scene").iterdir()) == [*FILES, INDEX]
    values = [
        [[65535, 0, 32768], [13107, 21845, 59637]],  # 32767.5 is rounded to even
        [[0, 65535, 16384], [20316, 21845, 5898]],
        [[0, 0, 16384], [32112, 21845, 0]],
    ]
    for name, expected in zip(FILES, values, strict=True):
        path = str(tmp_path / "scene" / name)
        found = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.array(Image.open(path)), expected)
    content = json.loads((tmp_path / "scene" / INDEX).read_text())
    assert content == {"classes": list(NAMES), "source": "network", "scale": 65535}


def test_npz_by_hand(tmp_path):
    save_npz(tmp_path / "scene.npz", BY_HAND, NAMES, "crf")
    with np.load(tmp_path / "scene.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["probabilities"], BY_HAND)
        assert file["probabilities"].dtype == np.float32
        assert file["classes"].tolist() == list(NAMES) and str(file["source"]) == "crf"


def saved(path, kind, *arguments, **options):
    if kind == "png":
        save_pngs(path, *arguments, **options)
        return path
    path = path.with_suffix(".npz")
    save_npz(path, *arguments, dtype=kind, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "error"), [("float32", 0), ("float16", 2**-12), ("png", 0.5 / 65535 + 1e-7)]
)
def test_what_is_read_is_what_was_written(tmp_path, kind, error):
    """Within the rounding of the format; at the size of the image."""
    small = random_probabilities(9, 13)
    path = saved(tmp_path / "x", kind, small, list("abcde"), "crf", size=(20, 31))
    found, names, source = load_probabilities(path)
    assert (found.shape, found.dtype) == ((20, 31, 5), np.float32)
    assert (names, source) == (tuple("abcde"), "crf")
    np.testing.assert_allclose(found, enlarge(small, (20, 31)), rtol=0, atol=error)
    np.testing.assert_allclose(found.sum(axis=2), 1, rtol=0, atol=5 * error + 1e-6)


def test_pngs_replace_their_own_files_alone(tmp_path):
    folder = tmp_path / "scene"
    save_pngs(folder, random_probabilities(4, 5), list("abcde"))
    save_pngs(folder, BY_HAND, NAMES)
    assert sorted(file.name for file in folder.iterdir()) == [*FILES, INDEX]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"scene: would be replaced, but holds .*notes\.txt"):
        save_pngs(folder, BY_HAND, NAMES)
    assert (folder / "notes.txt").read_text() == "mine"


def test_something_else_in_the_way(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="file: is a file, where a folder"):
        check_pngs(tmp_path / "file")
    with pytest.raises(InputError, match=r"folder\.npz: is a folder, where a file"):
        check_npz(tmp_path / "folder.npz")
    check_npz(tmp_path / "file")  # replaced, like labels
    check_pngs(tmp_path / "new")


def test_more_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(probability_files, "available_memory", lambda: 4 * 20 * 31 * 3 - 1)
    with pytest.raises(
        InputError, match=r"of 31x20 pixels and 3 classes need .* write them as PNG"
    ):
        save_npz(tmp_path / "x.npz", BY_HAND, NAMES, size=(20, 31))
    assert not list(tmp_path.iterdir())
    save_npz(tmp_path / "x.npz", BY_HAND, NAMES, size=(20, 31), dtype="float16")
    save_pngs(tmp_path / "x", BY_HAND, NAMES, size=(20, 31))


@pytest.mark.parametrize("kind", ["float32", "png"])
def test_a_full_disk_leaves_the_old_files(tmp_path, kind):
    """As a limit on the size of files, which fails in the same call."""
    before = saved(tmp_path / "x", kind, BY_HAND, NAMES)
    held = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            saved(tmp_path / "x", kind, random_probabilities(60, 80), list("abcde"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, held)
    assert list(tmp_path.iterdir()) == [before]
    np.testing.assert_allclose(load_probabilities(before)[0], BY_HAND, atol=1e-5)


def test_other_files_are_one_clear_line(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    save_pngs(tmp_path / "scene", BY_HAND, NAMES)
    (tmp_path / "scene" / FILES[1]).unlink()
    (tmp_path / "empty").mkdir()
    for name in ("other.npz", "text.npz", "scene", "empty", "missing.npz"):
        with pytest.raises(InputError, match=f"{name}: not probabilities that predict"):
            load_probabilities(tmp_path / name)


def test_class_names_in_file_names():
    names = ["sky", "a/b c", "../up", "x" * 200, "Straße"]
    assert list(map(in_file_name, names)) == ["sky", "a_b_c", ".._up", "x" * 80, "Straße"]
