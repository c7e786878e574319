"""Inspecting one example: its image, its label, and whether their sizes match."""

from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np

from deeplab_tf.data.checks.depth import inspect_depth
from deeplab_tf.data.checks.findings import WARNING, Finding, problem, some
from deeplab_tf.data.checks.image_inspection import inspect_image
from deeplab_tf.data.checks.interpolation import between_pixels
from deeplab_tf.data.checks.label_values import count_values, wrong_values
from deeplab_tf.data.depth_targets import DepthTarget
from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.image_header import read_header
from deeplab_tf.data.inputs import DepthExample
from deeplab_tf.data.label_png import decode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR

# Void that is left after erosion with this square is an area and not a border: the borders that
# VOC draws around its objects are 5 pixels wide.
SOLID = np.ones((11, 11), np.uint8)

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


def inspect_example(example, encoding, channels=3):
    """Find the problems that one example shows by itself.

    Args:
      example: `Example`, `RecordExample`, `DepthExample` or `DepthTarget`, whose label is not read.
      encoding: `LabelEncoding` of the label.
      channels: that images should have; with depth, color images are expected.

    Returns:
      `Inspection`.
    """
    if isinstance(example, DepthExample):
        found = inspect_example(example.color, encoding)
        return found._replace(findings=(*found.findings, *inspect_depth(example)))
    if isinstance(example, DepthTarget):
        return _inspect_target(example, channels)
    try:
        image_contents, label_contents = example.read()
    except InputError as error:
        return _without_label([_missing_file(example, str(error))])
    image, findings = inspect_image(image_contents, example.image, channels)

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
    if image is not None:
        _compare_sizes(image, header, label_file(example), findings)
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


def _inspect_target(example, channels):
    try:
        contents = example.read_image()
    except InputError as error:
        return _without_label([_missing_file(example, str(error))])
    _, findings = inspect_image(contents, example.image, channels)
    return _without_label([*findings, *inspect_depth(example.pair)])


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


def _compare_sizes(image, label, file, findings):
    # What the sizes say about the orientation of the label, in place of the image's finding.
    rotated = [finding for finding in findings if finding.kind == "image_rotated"]
    stored = image.height, image.width
    if (label.width, label.height) != (image.width, image.height):
        what, remedy = f"size {label.size} but the image is {image.size}", "make them equal"
        if rotated and (label.width, label.height) == stored:
            findings.remove(rotated[0])
            what = (
                f"size {label.size} but the image, turned by its EXIF tag (orientation"
                f" {image.orientation}) as viewers show it, is {image.size}"
            )
            remedy = "turn the label too, or remove the tag from the image"
        findings.append(problem("label_size", file, what, remedy))
    elif rotated and image.orientation >= 5 and image.width != image.height:
        place = findings.index(rotated[0])
        remedy = "nothing to do, its label has the size of the turned image"
        findings[place] = rotated[0]._replace(severity=WARNING, remedy=remedy)


def _read_label(header, contents, colors):
    # (label (H, W) uint8, None) or (None, (kind, what, remedy)).
    if header.lossy:
        kind = "JPEG" if header.format == "JPEG" else f"{header.format} with lossy compression"
        remedy = f"{_WRITE_INDICES} from the source"
        return None, ("label_jpeg", f"{kind}, which changes the values", remedy)
    if header.color.endswith("alpha"):
        return None, ("label_alpha", f"{header.format} with an alpha channel", _WRITE_INDICES)
    if header.depth > 8:
        return None, ("label_16bit", f"{header.format} of {header.depth} bits", _WRITE_INDICES)
    if header.color == "rgb" and colors is None and header.format != "WebP":
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
    what = f"{header.format} of {header.size} damaged or cut off"
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
