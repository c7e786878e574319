import hashlib
import os
import re

import numpy as np
import pytest
from hostile_files import HOSTILE, PNG, SQUARES

from deeplab_tf.demo import uploads as uploads_module
from deeplab_tf.demo.uploads import Uploads
from deeplab_tf.errors import InputError

GONE = "this photograph is not here (any more); choose it again"


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def stored(uploads, contents, name="photo.png"):
    """Store a file as Gradio does; returns its name SHA-256/NAME."""
    folder = uploads.folder / hashlib.sha256(contents).hexdigest()
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(contents)
    return f"{folder.name}/{name}"


def test_a_photograph_is_read(uploads):
    name = stored(uploads, PNG)
    assert uploads.name_of(str(uploads.folder / name)) == name
    assert np.array_equal(uploads.decode(name), SQUARES)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_file_is_one_sentence_that_names_it(uploads, name):
    contents, sentence = HOSTILE[name]
    with pytest.raises(InputError) as error:
        uploads.decode(stored(uploads, contents, name))
    text = str(error.value)
    assert text.startswith(f"{name}: ") and sentence in text
    assert len(text.splitlines()) == 1 and str(uploads.folder) not in text


def test_a_large_file_is_refused(uploads, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(InputError, match=r"^a.png: larger than 1 MB; make the photograph smaller$"):
        uploads.decode(stored(uploads, PNG + bytes(2**20), "a.png"))


def test_what_is_not_an_upload_cannot_be_named(uploads, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(PNG)
    name = stored(uploads, PNG)
    digest = name.partition("/")[0]
    (uploads.folder / digest / "link.png").symlink_to(outside)
    (uploads.folder / "plain.png").write_bytes(PNG)
    (uploads.folder / ("a" * 64)).symlink_to(outside.parent)
    names = [
        "", ".", "..", "/etc/passwd", "plain.png", digest, f"{digest}/", f"{digest}/..",
        f"{digest}/../{name}", f"{digest}/./photo.png", f"{digest}//photo.png",
        f"../{outside.parent.name}/secret.png", f"{digest}/link.png", f"{'a' * 64}/secret.png",
        f"{digest.upper()}/photo.png", f"{digest}/photo.png\0", f"{digest}/none.png", None, 7,
        [name], {"path": name}, "http://127.0.0.1/photo.png", "file:///etc/passwd",
    ]  # fmt: skip
    for wrong in names:
        with pytest.raises(InputError) as error:
            uploads.decode(wrong)
        assert str(error.value) == GONE, wrong
        paths = [wrong] if not isinstance(wrong, str) else [wrong, f"{uploads.folder}/{wrong}"]
        for path in [*paths, str(outside), name]:
            with pytest.raises(InputError) as error:
                uploads.name_of(path)
            assert str(error.value) == GONE, path


def test_a_name_that_is_too_long_for_a_file(uploads):
    digest = stored(uploads, PNG).partition("/")[0]
    name = f"{digest}/{'ü' * 200}.png"  # fewer than 255 letters, but more bytes
    with pytest.raises(InputError, match=re.escape(GONE)):
        uploads.decode(name)
    with pytest.raises(InputError, match=re.escape(GONE)):
        uploads.name_of(f"{uploads.folder}/{name}")


def test_the_oldest_files_make_room(uploads):
    names = [stored(uploads, bytes([i]) * 100, f"{i}.png") for i in range(4)]
    for age, name in enumerate(reversed(names)):
        os.utime(uploads.folder / name, (1000 - age, 1000 - age))
    uploads.trim(limit=250)
    left = [path.name for path in uploads.folder.rglob("*.png")]
    assert sorted(left) == ["2.png", "3.png"]
    assert len(list(uploads.folder.iterdir())) == 2  # no empty folders
    uploads.trim(limit=0)
    assert [path.name for path in uploads.folder.rglob("*.png")] == ["3.png"]
