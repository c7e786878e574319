"""A picture of the first examples with problems: image, label, and kind of problem."""

import cv2
import numpy as np

from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.image_header import DAMAGED, read_header
from deeplab_tf.data.label_png import decode_label
from deeplab_tf.data.samples import read_samples
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.visualize import captioned, colorize, panel

PER_KIND = 2  # examples shown of each kind of problem
WIDTH = 320  # of an image in the picture, in pixels
NO_CLASS = (255, 0, 255)  # the color of label values that no class has
UNREADABLE = np.full((60, WIDTH, 3), 200, np.uint8)


def offenders_picture(report, most=12):
    """Draw the first examples of each kind of problem, errors first.

    Args:
      report: `Report`.
      most: how many examples at most.

    Returns:
      (H, W, 3) uint8 RGB; None if no problem is about an example.
    """
    shown = _first_of_each_kind(report)[:most]
    if not shown:
        return None
    colors = report.label_set.color_table()
    # A label may hold values that no class has, so the colors are those of the files' values.
    classes = list(report.encoding.classes)
    colors[: len(classes)] = colors[classes]
    colors[len(classes) : VOID] = NO_CLASS
    rows = [[_row(finding, report.examples[finding.file], colors)] for finding in shown]
    return panel(rows, legend=report.label_set)


def _first_of_each_kind(report):
    chosen, counts = [], {}
    for finding in [*report.errors, *report.warnings]:
        counts.setdefault(finding.kind, 0)
        if finding.file in report.examples and counts[finding.kind] < PER_KIND:
            counts[finding.kind] += 1
            chosen.append(finding)
    return chosen


def _row(finding, example, colors):
    try:
        image, label = example.read()
    except InputError:
        image, label = b"", b""
    pair = panel([[_scaled(_image(image)), _scaled(_label(label, colors))]])
    return captioned(pair, f"{finding.severity} {finding.kind}: {example.name}")


def _image(contents):
    try:
        return decode_image(contents)
    except InputError:
        pass
    try:  # the colors of an image that has further channels
        return decode_image(contents, read_samples(contents).values.shape[2])[..., :3]
    except DAMAGED:  # one of which is ValueError, and so InputError
        return UNREADABLE


def _label(contents, colors):
    # Class indices are drawn in the classes' colors; other files are shown as they are.
    try:
        header = read_header(contents)
        if header.lossy or header.depth > 8 or header.color not in ("gray", "palette"):
            return _image(contents)
        return colorize(decode_label(contents), colors)
    except InputError:
        return UNREADABLE


def _scaled(picture):
    height = max(1, round(picture.shape[0] * WIDTH / picture.shape[1]))
    return cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_NEAREST)
