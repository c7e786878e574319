import pytest

from deeplab_tf import InputError
from deeplab_tf.export.versions import next_version


def test_numbers_of_versions(tmp_path):
    folder = tmp_path / "street"
    assert next_version(folder) == folder / "1"
    for name in ("9", "0010", "11.abc.partial", "best"):
        (folder / name).mkdir(parents=True)
    assert next_version(folder) == folder / "11"
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match="is a SavedModel; give the folder that holds"):
        next_version(folder)
    with pytest.raises(InputError, match=r"saved_model\.pb: is a file; give the name of a folder"):
        next_version(folder / "saved_model.pb")
