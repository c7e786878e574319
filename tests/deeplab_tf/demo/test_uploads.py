import hashlib
import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from handmade_png import chunk
from PIL import Image

from deeplab_tf.demo import uploads as uploads_module
from deeplab_tf.demo.uploads import Uploads
from deeplab_tf.errors import InputError

GONE = "this photograph is not here (any more); choose it again"


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def empty_png(width, height):
    """A small file of many pixels: a header, and pixels that are never read."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def zip_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.png", "text")
    return file.getvalue()


def nan_tiff():
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5), np.nan, np.float32)).save(file, "TIFF")
    return file.getvalue()


SQUARES = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
PNG = png(SQUARES)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'

# name -> (contents, the sentence after the name).
HOSTILE = {
    "empty.png": (b"", "empty file"),
    "zip.png": (zip_file(), "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
    "drawing.svg": (SVG, "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
    "bomb.png": (
        empty_png(20000, 20000),
        "20000x20000 pixels are too many (limit: 178956970); make it smaller",
    ),
    "large.png": (
        empty_png(8000, 7000),
        "8000x7000 pixels are too many for this page (limit: 50 million); make the photograph "
        "smaller",
    ),
    "huge.png": (empty_png(2**31 - 1, 2**31 - 1), "pixels are too many"),
    "cut.png": (PNG[:-20], "damaged or cut off"),
    "header.png": (PNG[:12], "header damaged or cut off"),
    "cut.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged or cut off"),
    "nan.tiff": (nan_tiff(), ""),
    "object.npy": (b"\x93NUMPY\x01\0\x46\0{'descr': '|O', 'fortran_order': False}", ""),
    "text.webp": (b"RIFF\xff\xff\xff\xffWEBPVP8 ", "damaged or cut off"),
    "page.html": (b"<script>alert(1)</script>", "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
}


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
        f"{digest.upper()}/photo.png", f"{digest}/photo.png\0", f"{digest}/none.png", None, 7, [name],
        {"path": name}, "http://127.0.0.1/photo.png", "file:///etc/passwd",
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
