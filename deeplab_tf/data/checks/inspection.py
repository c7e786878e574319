"""What one example shows by itself: its image, its label, and whether they fit each other."""

import functools
import threading
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from deeplab_tf.data.checks.findings import Finding, problem, some
from deeplab_tf.data.checks.values import value_remedy
from deeplab_tf.data.image_header import JPEG, read_header
from deeplab_tf.data.png import decode_label
from deeplab_tf.data.voc import JPEG_END
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR

MASK_VALUES = {0, 128, 255}

# Void that survives the erosion with this square, in pixels, is an area and no border: the
# bands that VOC draws around its objects are 5 pixels wide.
SOLID = np.ones((11, 11), np.uint8)

# What the JPEG decoder fills up with, without a word, where data is missing.
_NOT_THERE = [128, 128, 128]
_MORE = 512  # bytes

_TRACING = threading.Lock()


class Inspection(NamedTuple):
    """What is known of one example after a look at it.

    Args:
      findings: tuple of `Finding`, those that this example shows by itself.
      pixels: dict from label value to its number of pixels; empty where the label cannot be
        read.
      color: how the label is stored: "grey", "palette" or "rgb"; "" where it cannot be read.
      solid_void: whether there is an area, not only a border, of value 255.
      palette: dict from the RGB bytes of a palette entry to its index, for the indices that
        occur and whose colour no other of them has.
    """

    findings: tuple[Finding, ...]
    pixels: dict[int, int]
    color: str
    solid_void: bool
    palette: dict[bytes, int]


def inspect(example, num_classes, colors=None):
    """The problems that one example shows by itself.

    Args:
      example: `Example` or `RecordExample`.
      num_classes: label values are below this, or 255.
      colors: the classes' colours, for RGB labels; see `decode_label`.

    Returns:
      A list of `Finding`; empty where all is well.
    """
    return list(look_at(example, num_classes, colors).findings)


def look_at(example, num_classes, colors=None):
    """As `inspect`, with what the check of a whole data set needs.

    Returns:
      `Inspection`.
    """
    try:
        image, label = example.read()
    except InputError as error:
        return _without_label([_missing(example, str(error))])
    header, findings = _look_at_image(example, image)
    if not label:
        what, remedy = "empty, or there is no label", "add it or take the example off the list"
        return _without_label([*findings, _label_problem(example, "label_missing", what, remedy)])
    return _look_at_label(example, label, header, findings, num_classes, colors)


def label_file(example):
    """What messages call the label of an example, also where it has none."""
    return example.label or f"label of {example.name!r}"


def _without_label(findings):
    return Inspection(tuple(findings), {}, "", False, {})


def _missing(example, message):
    is_label = bool(example.label) and message.startswith(f"{example.label}: ")
    file = example.label if is_label else example.image
    what, _, remedy = message.removeprefix(f"{file}: ").partition("; ")
    return problem("label_missing" if is_label else "image_missing", file, what, remedy)


def _look_at_image(example, contents):
    # The header, None where it cannot be read, and a list of findings.
    try:
        header = read_header(contents)
    except InputError as error:
        remedy = "replace it by a JPEG or PNG"
        return None, [problem("image_unreadable", example.image, str(error), remedy)]
    findings = [problem(kind, example.image, *text) for kind, *text in _image_oddities(header)]
    if not findings and not _can_decode_image(header, contents):
        what = f"{header.format} of {header.size} damaged or cut off"
        findings = [problem("image_unreadable", example.image, what, "replace it")]
    return header, findings


def _image_oddities(header):
    if header.color == "cmyk":
        yield "image_cmyk", "CMYK image; networks see RGB", "convert it to RGB"
    if header.depth > 8:
        what = f"{header.depth} bits a channel; values beyond 8 bits are cut off"
        yield "image_16bit", what, "convert it to 8 bits"
    if header.orientation != 1:
        what = (
            f"EXIF orientation {header.orientation}: viewers turn it, training takes its pixels"
            f" as stored ({header.size})"
        )
        remedy = "turn the pixels, remove the EXIF tag, and see that the label fits"
        yield "image_rotated", what, remedy
    if header.color.startswith("grey"):
        yield "image_grey", "grey image", "mend it if colours were lost, or leave it"
    if header.color.endswith("alpha"):
        yield "image_alpha", "alpha channel, which is dropped", "blend it in, or leave it"


def _can_decode_image(header, contents):
    try:
        if header.format != JPEG:
            tf.io.decode_png(contents, channels=3)
            return True
        pixels = _small_jpeg(contents)
    except tf.errors.InvalidArgumentError:
        return False
    return pixels[-1, -1].tolist() != _NOT_THERE or not _ends_early(contents, pixels)


def _small_jpeg(contents):
    # An eighth of the size is enough to read all of the file, in half of the time.
    return tf.io.decode_jpeg(contents, channels=3, ratio=8).numpy()


def _ends_early(contents, pixels):
    # Whether the pixels' data ends before the image does, although the end is marked. If there
    # is more data before the mark, a decoder that was through does not look at it.
    end = contents.rfind(JPEG_END)
    more = contents[max(0, end - _MORE) : end].replace(b"\xff", b"\x7f")
    return not np.array_equal(pixels, _small_jpeg(contents[:end] + more + contents[end:]))


def _look_at_label(example, contents, image_header, findings, num_classes, colors):
    try:
        header = read_header(contents)
    except InputError as error:
        findings.append(_label_problem(example, "label_unreadable", str(error), "replace it"))
        return _without_label(findings)
    findings += [_label_problem(example, *parts) for parts in _misfit(image_header, header)]
    label, refusal = _read_label(header, contents, colors)
    if refusal:
        return _without_label([*findings, _label_problem(example, *refusal)])
    counts = np.bincount(label.ravel(), minlength=VOID + 1)
    pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    findings += [_label_problem(example, *parts) for parts in _bad_values(pixels, num_classes)]
    return Inspection(
        tuple(findings), pixels, header.color, _is_solid(label), _palette(header, pixels)
    )


def _label_problem(example, kind, what, remedy):
    return problem(kind, label_file(example), what, remedy)


def _misfit(image, label):
    # An image that EXIF turns may have the label of the turned one; that is reported already.
    if image is None or (image.width, image.height) == (label.width, label.height):
        return
    if image.orientation >= 5 and (image.height, image.width) == (label.width, label.height):
        return
    yield "label_size", f"size {label.size} but the image is {image.size}", "make them equal"


def _read_label(header, contents, colors):
    # (label (H, W) uint8, None) or (None, (kind, what, remedy)).
    anew = "write class indices as a palette or grey PNG"
    if header.format == JPEG:
        return None, ("label_jpeg", "JPEG, which blurs the values", f"{anew} from the source")
    if header.color.endswith("alpha"):
        return None, ("label_alpha", "PNG with an alpha channel", anew)
    if header.depth > 8:
        return None, ("label_16bit", f"PNG of {header.depth} bits", anew)
    if header.color == "rgb" and colors is None:
        remedy = f"give each class its color in classes.txt, or {anew}"
        return None, ("label_rgb", "RGB label but no colors of the classes are known", remedy)
    try:
        return _decoder(_as_key(colors))(tf.constant(contents)).numpy(), None
    except tf.errors.InvalidArgumentError:
        return None, _why_not(header, contents, colors)


def _as_key(colors):
    return None if colors is None else tuple(map(tuple, colors))


def _decoder(colors):
    with _TRACING:  # once, although many threads begin at the same time
        return _traced_decoder(colors)


@functools.cache
def _traced_decoder(colors):
    # The decoder of the training as one graph: op by op it would hold up the other threads.
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def decode(contents):
        with tf.device("CPU:0"):
            return decode_label(contents, colors)

    return decode.get_concrete_function()


def _why_not(header, contents, colors):
    damaged = "label_unreadable", f"PNG of {header.size} damaged or cut off", "replace it"
    if header.color != "rgb":
        return damaged
    try:
        pixels = tf.io.decode_png(contents, channels=3).numpy().reshape(-1, 3)
    except tf.errors.InvalidArgumentError:
        return damaged
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    known = {*_as_key(colors), VOID_COLOR}
    rows = [row for row, color in enumerate(found.tolist()) if tuple(color) not in known]
    examples = some((tuple(found[row].tolist()) for row in rows), 2)
    what = f"{counts[rows].sum()} pixels in {len(rows)} colors that no class has: {examples}"
    remedy = "give each class its exact color in classes.txt, and save without smoothed edges"
    return "label_colors", what, remedy


def _bad_values(pixels, num_classes):
    wrong = [value for value in pixels if num_classes <= value < VOID]
    classes = f"{num_classes} classes: 0..{num_classes - 1}, {VOID} = void"
    if wrong == [128] and set(pixels) <= MASK_VALUES:
        what = f"label values {some(pixels)}, as masks are drawn, but {classes}"
        yield "label_mask", what, "write the class's index in place of the object's value"
    elif wrong:
        yield (
            "label_value",
            f"label values {some(wrong)} of no class ({classes})",
            value_remedy(pixels, num_classes),
        )
    if set(pixels) == {VOID}:
        what = f"nothing but void ({VOID}), from which nothing is learned"
        yield "void_only", what, "draw its classes or take the example off the list"


def _is_solid(label):
    void = (label == VOID).astype(np.uint8)
    if void.sum() < SOLID.size:
        return False
    # Void along the image's edge counts only as far as it reaches in.
    eroded = cv2.erode(void, SOLID, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool(eroded.any())


def _palette(header, pixels):
    colors = {v: header.palette[3 * v : 3 * v + 3] for v in pixels if v != VOID}
    shown = list(colors.values())
    if len(shown) < 2:
        return {}  # one color does not tell a palette with a meaning from none
    return {color: v for v, color in colors.items() if color and shown.count(color) == 1}
