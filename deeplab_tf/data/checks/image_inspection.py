"""Inspecting the file of one image: what is unusual about it, and whether it is whole."""

import numpy as np

from deeplab_tf.data.checks.findings import WARNING, problem
from deeplab_tf.data.image_files import JPEG_END, decode_image, image_from
from deeplab_tf.data.image_header import DAMAGED, open_image, read_header
from deeplab_tf.data.samples import read_samples, to_channels, used_bits
from deeplab_tf.errors import InputError

# Values below a quarter of the range of 16 bits may have 14 bits, or the image may be dark.
DIM = 1 << 14

# The level that decoders silently give pixels whose data is missing in a JPEG.
_MISSING_LEVEL = 128
_APPENDED = 512  # bytes; see `_ends_early`


def inspect_image(contents, file, channels=3, is_decoded=False):
    """Find what is unusual about an image.

    Args:
      contents: bytes of the file.
      file: its name in the findings.
      channels: number of channels that it should have.
      is_decoded: whether `decode_image` has already read it without an error; then only damage is
        looked for that decoders pass over, and the image is not decoded again.

    Returns:
      (`Header`, list of `Finding`); the header is None if it cannot be read. What a finding says
      is what was found and what is done about it when the image is read.
    """
    try:
        header = read_header(contents)
        findings = [
            problem(kind, file, *rest) for kind, *rest in _oddities(header, contents, channels)
        ]
    except InputError as error:
        what, _, remedy = str(error).partition("; ")
        remedy = remedy or "replace it with a JPEG or PNG"
        return None, [problem("image_unreadable", file, what, remedy)]
    if is_decoded and header.format != "JPEG":  # decoders pass over damage in JPEGs alone
        return header, findings
    defect = _defect(header, contents, channels)
    if defect:
        findings = [problem("image_unreadable", file, *defect)]
    return header, findings


def decode_inspected(contents, place, channels=3):
    """Decode an image, and tell what was done to it if it is not plain 8-bit RGB.

    Args:
      contents: bytes of the file.
      place: its name in messages.
      channels: number of channels that the image should have.

    Returns:
      ((H, W, channels) uint8, text; "" for a plain image).

    Raises:
      InputError: naming the file, if it is damaged or no image.
    """
    image = image_from(contents, place, channels)
    _, findings = inspect_image(contents, str(place), channels, is_decoded=True)
    for finding in findings:
        if finding.kind == "image_unreadable":
            raise InputError(finding.line)
    return image, "; ".join(finding.what for finding in findings)


def _oddities(header, contents, channels):
    # (kind, what, remedy) or (kind, what, remedy, severity).
    if header.color == "cmyk":
        yield "image_cmyk", "CMYK, converted to RGB without its color profile", "convert it to RGB"
    if header.depth > 8:
        yield "image_16bit", *_bits(header, contents)
    if header.orientation != 1:
        what = f"turned by its EXIF tag (orientation {header.orientation}) to {header.size}"
        remedy = "check that its label shows the turned image, or turn the pixels and drop the tag"
        yield "image_rotated", what, remedy
    if header.color.startswith("gray"):
        yield (
            "image_gray",
            "gray image",
            "restore the colors if they were lost, or leave it as it is",
        )
    if header.color.endswith("alpha") and channels == 3:
        yield "image_alpha", "alpha channel, which is dropped", "blend it in, or leave it as it is"


def _bits(header, contents):
    what = f"{header.depth} bits per channel, of which the upper 8 are used"
    try:
        samples = read_samples(contents)
        if not samples.color.endswith("channels"):
            samples = to_channels(samples, 3)
    except (InputError, *DAMAGED):
        return what, "convert it to 8 bits"  # what is wrong is found when it is decoded
    highest, bits = int(samples.values.max()), used_bits(samples)
    if bits < header.depth:
        what = (
            f"{header.depth} bits per channel, read as {bits} because no value is above {highest}"
        )
        return what, "convert all images to 8 bits in the same way"
    if header.depth == 16 and 0 < highest < DIM:
        what += f", and it is dark: no value is above {highest}"
        return what, "multiply the values by 4 if they have 14 bits, and convert it to 8 bits"
    return what, "convert it to 8 bits, or leave it as it is", WARNING


def _defect(header, contents, channels):
    # (what, remedy) if the pixels cannot be read; None if they can.
    try:
        if header.format != "JPEG":
            decode_image(contents, channels)
            return None
        pixels = _small_jpeg(contents)
        if (pixels[-1, -1] != _MISSING_LEVEL).any() or not _ends_early(contents, pixels):
            return None
    except InputError as error:
        what, _, remedy = str(error).partition("; ")
        if "damaged or cut off" not in what:
            return what, remedy
    except DAMAGED:
        pass
    return f"{header.format} of {header.size} damaged or cut off", "replace it"


def _small_jpeg(contents):
    # Decoding at an eighth of the size reads the whole file, but takes half the time.
    image = open_image(contents)
    image.draft(None, (1, 1))
    return np.asarray(image)


def _ends_early(contents, pixels):
    # Whether the compressed data ends before the last pixel, although the file has an end mark.
    # The test inserts a copy of the last bytes before the mark: a decoder that already has all
    # pixels ignores them, otherwise the pixels change.
    end = contents.rfind(JPEG_END)
    more = contents[max(0, end - _APPENDED) : end].replace(b"\xff", b"\x7f")
    return not np.array_equal(pixels, _small_jpeg(contents[:end] + more + contents[end:]))
