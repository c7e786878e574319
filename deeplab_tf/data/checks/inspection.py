"""Inspecting one example: its image, its label, and whether their sizes match."""

from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np

from deeplab_tf.data.checks.findings import Finding, problem, some
from deeplab_tf.data.checks.interpolation import between_pixels
from deeplab_tf.data.checks.label_values import count_values, wrong_values
from deeplab_tf.data.image_files import JPEG_END, decode_image
from deeplab_tf.data.image_header import DAMAGED, open_image, read_header
from deeplab_tf.data.label_png import decode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR

# Void that is left after erosion with this square is an area and not a border: the borders that
# VOC draws around its objects are 5 pixels wide.
SOLID = np.ones((11, 11), np.uint8)

# The level that decoders silently give pixels whose data is missing in a JPEG.
_MISSING_LEVEL = 128
_APPENDED = 512  # bytes; see `_ends_early`

_WRITE_INDICES = "write class indices as a palette or gray PNG"


class Inspection(NamedTuple):
    """The result of inspecting one example.

    Args:
      findings: tuple of `Finding`: the problems that this example shows by itself.
      pixels: dict from class index, or 255, to its number of pixels; empty if the label cannot be
        read.
      color: how the label is stored: "gray", "palette" or "rgb"; "" if it cannot be read.
      solid_void: whether value 255 fills an area and not only a border.
      palette: dict from a color, 3 bytes, to its index in the palette, for the indices that occur
        in the label and do not share their color with another one.
      values: dict from each value in the file to its number of pixels.
      between: dict from value to the number of pixels counted by `between_pixels`.
    """

    findings: tuple[Finding, ...]
    pixels: dict[int, int]
    color: str
    solid_void: bool
    palette: dict[bytes, int]
    values: dict[int, int]
    between: dict[int, int]


def inspect_example(example, encoding):
    """Find the problems that one example shows by itself.

    Args:
      example: `Example` or `RecordExample`.
      encoding: `LabelEncoding` of the label.

    Returns:
      `Inspection`.
    """
    try:
        image_contents, label_contents = example.read()
    except InputError as error:
        return _without_label([_missing_file(example, str(error))])
    image, findings = _inspect_image(example, image_contents)

    def add(kind, what, remedy):
        findings.append(problem(kind, label_file(example), what, remedy))

    if not label_contents:
        what = "empty, or there is no label"
        add("label_missing", what, "add it or remove the example from the list")
        return _without_label(findings)
    try:
        header = read_header(label_contents)
    except InputError as error:
        add("label_unreadable", str(error), "replace it")
        return _without_label(findings)
    if not _sizes_match(image, header):
        add("label_size", f"size {header.size} but the image is {image.size}", "make them equal")
    label, refusal = _read_label(header, label_contents, encoding.colors)
    if refusal:
        add(*refusal)
        return _without_label(findings)
    values = count_values(label)
    for wrong in wrong_values(values, encoding.num_values):
        add(*wrong)
    pixels = _of_classes(values, encoding)
    if set(pixels) == {VOID}:
        what = f"nothing but {_names_of_void(values)}, from which nothing can be learned"
        add("void_only", what, "draw its classes or remove the example from the list")
    return Inspection(
        tuple(findings),
        pixels,
        header.color,
        _has_solid_void(label),
        _shown_palette(header.palette, values),
        values,
        between_pixels(label),
    )


def label_file(example):
    """The name of an example's label in messages, even if it has no label."""
    return example.label or f"label of {example.name!r}"


def _without_label(findings):
    return Inspection(tuple(findings), {}, "", False, {}, {}, {})


def _missing_file(example, message):
    is_label = bool(example.label) and message.startswith(f"{example.label}: ")
    file = example.label if is_label else example.image
    what, _, remedy = message.removeprefix(f"{file}: ").partition("; ")
    return problem("label_missing" if is_label else "image_missing", file, what, remedy)


def _inspect_image(example, contents):
    # The header, None if it cannot be read, and a list of findings.
    try:
        header = read_header(contents)
    except InputError as error:
        remedy = "replace it with a JPEG or PNG"
        return None, [problem("image_unreadable", example.image, str(error), remedy)]
    findings = [problem(kind, example.image, *text) for kind, *text in _image_oddities(header)]
    if not findings and not _can_decode_image(header, contents):
        what = f"{header.format} of {header.size} damaged or cut off"
        findings = [problem("image_unreadable", example.image, what, "replace it")]
    return header, findings


def _image_oddities(header):
    if header.color == "cmyk":
        yield "image_cmyk", "CMYK image; networks take RGB", "convert it to RGB"
    if header.depth > 8:
        what = f"{header.depth} bits per channel; only the upper 8 are used"
        yield "image_16bit", what, "convert it to 8 bits"
    if header.orientation != 1:
        what = (
            f"EXIF orientation {header.orientation}: viewers rotate it, training uses its pixels"
            f" as stored ({header.size})"
        )
        remedy = "rotate the pixels, remove the EXIF tag, and check that the label fits"
        yield "image_rotated", what, remedy
    if header.color.startswith("gray"):
        yield (
            "image_gray",
            "gray image",
            "restore the colors if they were lost, or leave it as it is",
        )
    if header.color.endswith("alpha"):
        yield "image_alpha", "alpha channel, which is dropped", "blend it in, or leave it as it is"


def _can_decode_image(header, contents):
    try:
        if header.format == "PNG":
            decode_image(contents)
            return True
        pixels = _small_jpeg(contents)
        return (pixels[-1, -1] != _MISSING_LEVEL).any() or not _ends_early(contents, pixels)
    except DAMAGED:  # one of which is ValueError, and so InputError
        return False


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


def _sizes_match(image, label):
    # The label of an image that EXIF rotates may be rotated already. The EXIF tag is a finding of
    # its own.
    if image is None:
        return True
    sizes = [(image.width, image.height)]
    if image.orientation >= 5:
        sizes.append((image.height, image.width))
    return (label.width, label.height) in sizes


def _read_label(header, contents, colors):
    # (label (H, W) uint8, None) or (None, (kind, what, remedy)).
    if header.format == "JPEG":
        remedy = f"{_WRITE_INDICES} from the source"
        return None, ("label_jpeg", "JPEG, which changes the values", remedy)
    if header.color.endswith("alpha"):
        return None, ("label_alpha", "PNG with an alpha channel", _WRITE_INDICES)
    if header.depth > 8:
        return None, ("label_16bit", f"PNG of {header.depth} bits", _WRITE_INDICES)
    if header.color == "rgb" and colors is None:
        remedy = f"give each class its color in classes.txt, or {_WRITE_INDICES}"
        return None, ("label_rgb", "RGB label but no colors of the classes are known", remedy)
    try:
        return decode_label(contents, colors), None
    except InputError:
        pass
    try:
        if header.color == "rgb":
            return None, _unknown_colors(decode_image(contents), colors)
    except InputError:
        pass
    what = f"PNG of {header.size} damaged or cut off"
    return None, ("label_unreadable", what, "replace it")


def _unknown_colors(picture, colors):
    found, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    known = {*map(tuple, colors), VOID_COLOR}
    rows = [row for row, color in enumerate(found.tolist()) if tuple(color) not in known]
    examples = some((tuple(found[row].tolist()) for row in rows), 2)
    what = f"{counts[rows].sum()} pixels in {len(rows)} colors that no class has: {examples}"
    remedy = (
        "give each class its exact color in classes.txt, colors to ignore as 'NAME R G B void', and"
        " save without smoothed edges"
    )
    return "label_colors", what, remedy


def _of_classes(values, encoding):
    # Values of no class keep their number, which no class index has.
    pixels = Counter()
    for value, count in values.items():
        known = value < encoding.num_values
        pixels[encoding.classes[value] if known else value] += count
    return dict(pixels)


def _names_of_void(values):
    return f"void ({VOID})" if set(values) == {VOID} else f"ignored values ({some(sorted(values))})"


def _has_solid_void(label):
    void = (label == VOID).astype(np.uint8)
    if void.sum() < SOLID.size:
        return False
    # Pixels outside of the image do not count as void.
    return bool(cv2.erode(void, SOLID, borderType=cv2.BORDER_CONSTANT, borderValue=0).any())


def _shown_palette(palette, values):
    colors = {value: palette[3 * value : 3 * value + 3] for value in values if value != VOID}
    shown = list(colors.values())
    if len(shown) < 2:
        return {}  # one color does not show whether the palette has a meaning
    return {color: value for value, color in colors.items() if color and shown.count(color) == 1}
