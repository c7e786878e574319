import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.files import check_new_folder, new_folder, write_file


def test_file_is_written_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / "new" / "scores.json"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["scores.json"]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    path = tmp_path / "scores.json"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "above" / "made"
    with new_folder(path) as folder:
        (folder / "part").write_text("1")
        assert not path.exists()
    assert (path / "part").read_text() == "1"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "made") as folder:
        (folder / "part").write_text("1")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_only_overwrite_replaces_a_full_folder(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    check_new_folder(path)
    (path / "old").write_text("1")
    with pytest.raises(InputError, match=r"made: exists and is not empty"):
        check_new_folder(path)
    with pytest.raises(KeyError), new_folder(path, overwrite=True):
        raise KeyError
    assert (path / "old").exists()
    with new_folder(path, overwrite=True) as folder:
        (folder / "new").write_text("2")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_in_the_way(tmp_path):
    path = tmp_path / "made"
    path.write_text("1")
    with pytest.raises(InputError, match="made: is a file"), new_folder(path, overwrite=True):
        pass
    assert path.read_text() == "1"


def test_what_somebody_wrote_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OSError), new_folder(tmp_path / "new") as folder:
        (folder / "mine").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "theirs"]
