import cv2
import numpy as np
import planted
import pytest
from handmade_tiff import made_tiff
from planted import kinds, png

from deeplab_tf.data.checks import image_inspection
from deeplab_tf.data.checks.image_inspection import inspect_image

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
IMAGE[0, 0] = 255


def inspect(contents, channels=3):
    return inspect_image(contents, "a", channels)[1]


def deep(highest):
    return png((IMAGE * (highest / 255)).astype(np.uint16))


@pytest.mark.parametrize(
    ("contents", "severity", "what"),
    [
        (deep(65535), "warning", "16 bits per channel, of which the upper 8 are used"),
        (deep(16383), "error", "16 bits per channel, of which the upper 8 are used, and it is dark:"
         " no value is above 16383"),
        (deep(4095), "error", "16 bits per channel, read as 12 because no value is above 4095"),
        (deep(1023), "error", "16 bits per channel, read as 10 because no value is above 1023"),
        (deep(255), "error", "16 bits per channel, read as 8 because no value is above 255"),
        (made_tiff(IMAGE.astype(np.uint16), bits=12), "warning",
         "12 bits per channel, of which the upper 8 are used"),
        (png(IMAGE.astype(np.uint16) * 0), "warning",
         "16 bits per channel, of which the upper 8 are used"),
    ],
)  # fmt: skip
def test_more_than_8_bits(contents, severity, what):
    (finding,) = inspect(contents)
    assert kinds([finding]) == [(severity, "image_16bit")]
    assert finding.what == what


def test_alpha_does_not_hide_how_many_bits_are_used():
    image = np.dstack([IMAGE.astype(np.uint16) * 16, np.full(IMAGE.shape[:2], 65535)])
    found = inspect(png(image.astype(np.uint16)))
    assert [finding.kind for finding in found] == ["image_16bit", "image_alpha"]
    assert "read as 12" in found[0].what


@pytest.mark.parametrize(
    "contents",
    [
        png(IMAGE),
        cv2.imencode(".jpg", IMAGE)[1].tobytes(),
        made_tiff(IMAGE),
        cv2.imencode(".bmp", IMAGE)[1].tobytes(),
        cv2.imencode(".webp", IMAGE)[1].tobytes(),
    ],
)
def test_nothing_is_found_in_rgb_of_8_bits(contents):
    assert inspect(contents) == []


def test_an_image_of_many_channels():
    contents = made_tiff(np.dstack([IMAGE, IMAGE]))
    assert inspect(contents, 6) == []
    (finding,) = inspect(contents)
    assert kinds([finding]) == [("error", "image_unreadable")]
    assert finding.line == (
        "a: 6 channels, but 3 are needed; give an image with 3 channels, or a network built with "
        "--channels=6"
    )


@pytest.mark.parametrize(
    ("contents", "line"),
    [
        (b"", "a: empty file; replace it with a JPEG or PNG"),
        (b"GIF89a", "a: not a JPEG, PNG, TIFF, BMP, WebP or .npy file; replace it with a JPEG or"
         " PNG"),
        (made_tiff(IMAGE, pages=3),
         "a: TIFF of 3 pages; save the page to use as a file of its own"),
        (made_tiff(IMAGE)[:300], "a: header damaged or cut off; replace it with a JPEG or PNG"),
        (made_tiff(IMAGE, bits=32), "a: TIFF of 32 bits per channel; convert it to 8 bits"),
        (planted.png(IMAGE)[:-40], "a: PNG of 14x9 damaged or cut off; replace it"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(contents, line):
    (finding,) = inspect(contents)
    assert kinds([finding]) == [("error", "image_unreadable")]
    assert finding.line == line


def test_an_image_that_was_decoded_is_not_decoded_again(monkeypatch):
    monkeypatch.setattr(image_inspection, "decode_image", None)  # calling it would fail
    gray = png(IMAGE[..., 0])
    _, findings = inspect_image(gray, "a", is_decoded=True)
    assert kinds(findings) == [("warning", "image_gray")]
    jpeg = cv2.imencode(".jpg", IMAGE.repeat(40, 0).repeat(40, 1))[1].tobytes()
    cut = jpeg[: len(jpeg) * 3 // 4] + jpeg[-2:]  # decoders make the missing part gray
    _, findings = inspect_image(cut, "a", is_decoded=True)
    assert kinds(findings) == [("error", "image_unreadable")]
