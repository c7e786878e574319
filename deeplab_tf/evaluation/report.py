"""Results of an evaluation as a table, as JSON, and as a picture."""

import math

import numpy as np

from deeplab_tf.data.shrink import shrink
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import colorize, overlay, overlay_colors, panel

PHOTOGRAPH_SIDE = 480  # longer side of a photograph in `photograph_panel`, in pixels

# Title of a mean score -> attribute of `ConfusionMatrix`.
MEANS = {
    "mean IoU": "miou",
    "pixel accuracy": "pixel_accuracy",
    "mean accuracy": "mean_accuracy",
    "frequency weighted IoU": "frequency_weighted_iou",
}

_SHOWN_WIDTHS = (1, 2, 3, 5, 10, 20, 40)  # of the trimaps, in pixels


def result_titles(count):
    """Titles of the results: of the network's alone, or of those before and after the CRF.

    Args:
      count: number of the results, 1 or 2.

    Returns:
      A list of str.
    """
    return ["before CRF", "after CRF"] if count == 2 else ["network"]


def score_table(label_set, before, after=None):
    """Format the IoU of every class and the mean scores as text; 1 is the best score.

    Args:
      label_set: `LabelSet` of the data set.
      before: `ConfusionMatrix` of the network's labels.
      after: `ConfusionMatrix` of the labels after the CRF, or None.

    Returns:
      Lines of text, one for each class and for each mean; "-" marks a class that is neither in
      the truth nor predicted.
    """
    columns = [before] if after is None else [before, after]
    classes = [
        (name, *ious)
        for name, *ious in zip(
            label_set.names, *(column.per_class_iou for column in columns), strict=True
        )
    ]
    means = [
        (title, *(getattr(column, score) for column in columns)) for title, score in MEANS.items()
    ]
    width = max(len(row[0]) for row in classes + means)
    heads = ["IoU"] if after is None else ["before CRF", "after CRF", "change"]
    title = "class".ljust(width) + "".join(head.rjust(12) for head in heads)
    rule = "-" * len(title)
    rows = [_row(width, *row) for row in classes], [_row(width, *row) for row in means]
    return "\n".join([title, rule, *rows[0], rule, *rows[1]])


def boundary_table(label_set, before, after=None):
    """Format the boundary IoU and boundary F1 of every class as text.

    Args:
      label_set: `LabelSet` of the data set.
      before: `BoundaryScores` of the network's labels.
      after: `BoundaryScores` of the labels after the CRF, or None.

    Returns:
      Lines of text, one for each class and one for the means; "-" marks a class that is neither in
      the truth nor predicted.
    """
    columns = [before] if after is None else [before, after]
    ious = zip(*(column.per_class_iou for column in columns), strict=True)
    f1s = zip(*(column.per_class_f1 for column in columns), strict=True)
    rows = list(zip(label_set.names, ious, f1s, strict=True))
    means = [column.miou for column in columns], [column.mean_f1 for column in columns]
    return _table_of_two(["class", "boundary IoU", "boundary F1"], [*rows, ("mean", *means)])


def trimap_table(before, after=None):
    """Format the scores near borders as text, for some of the widths.

    Args:
      before: `TrimapScores` of the network's labels.
      after: `TrimapScores` of the labels after the CRF, or None.

    Returns:
      Lines of text, one for each width; "-" if no pixel is near enough.
    """
    rows = [
        (f"up to {width} pixel{'s' if width > 1 else ''}", *values)
        for width, *values in trimap_rows(before, after)
    ]
    return _table_of_two(["from a border", "mean IoU", "pixel accuracy"], rows)


def trimap_rows(before, after=None):
    """The scores near borders for some of the widths.

    Args:
      before: `TrimapScores` of the network's labels.
      after: `TrimapScores` of the labels after the CRF, or None.

    Returns:
      List of (width in pixels, mean IoUs, pixel accuracies), each a list of one or two scores.
    """
    columns, rows = [before] if after is None else [before, after], []
    for width in _SHOWN_WIDTHS:
        near = [column.confusion(width) for column in columns]
        rows.append((width, [one.miou for one in near], [one.pixel_accuracy for one in near]))
    return rows


def score_dict(label_set, before, after=None):
    """Collect the scores in a dict for JSON.

    Args:
      label_set: `LabelSet` of the data set.
      before: `ConfusionMatrix` or `ResultScores` of the network's labels.
      after: the same of the labels after the CRF, or None.

    Returns:
      `before.to_dict(...)`; with `after`, its scores under the key "crf".
    """
    scores = before.to_dict(label_set.names)
    if after is not None:
        scores["crf"] = after.to_dict(label_set.names)
    return scores


def comparison_panel(label_set, samples):
    """Make a picture with one row per image: image, truth, network, and CRF if there is one.

    Args:
      label_set: `LabelSet` of the data set; its names and colors are listed at the bottom.
      samples: list of tuples (image, truth, before) or (image, truth, before, after): image
        (H, W, 3) uint8 RGB, the others (H, W) uint8 labels.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: if there is no sample, or only some have a CRF result.
    """
    colors = label_set.color_table()
    rows = [[image, *(colorize(label, colors) for label in labels)] for image, *labels in samples]
    captions = ["image", "truth", *result_titles(len(rows[0]) - 2)] if rows else []
    return panel(rows, captions, label_set)


def photograph_row(image, labels, label_set, alpha, side=PHOTOGRAPH_SIDE):
    """A row of `photograph_panel`: an image, and the image tinted with each label map.

    Args:
      image: (H, W, 3) uint8 RGB.
      labels: list of (H, W) uint8, such as those before and after the CRF.
      label_set: `LabelSet` of the classes, shown in `overlay_colors`.
      alpha: opacity of the colors, 0 to 1.
      side: longer side, in pixels, that larger pictures are reduced to.

    Returns:
      (list of pictures, set of the classes in the labels).
    """
    colors = overlay_colors(label_set)
    pictures = [image, *(overlay(image, label, colors, alpha) for label in labels)]
    classes = {int(value) for label in labels for value in np.unique(label)}
    return [shrink(picture, side) for picture in pictures], classes


def photograph_panel(label_set, rows):
    """Make a picture of photographs and their labels, with the classes that occur at the bottom.

    Args:
      label_set: `LabelSet` of the classes.
      rows: list of what `photograph_row` returned, all for as many label maps.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    pictures = [row for row, _ in rows]
    captions = (
        ["image", "labels"] if len(pictures[0]) == 2 else ["image", "before CRF", "after CRF"]
    )
    occurring = set.union(*(classes for _, classes in rows))
    if len(occurring) < 2:  # a `LabelSet` has more
        occurring = range(label_set.num_classes)
    colors = overlay_colors(label_set)
    names, shown = zip(
        *((label_set.names[i], colors[i].tolist()) for i in sorted(occurring)), strict=True
    )
    return panel(pictures, captions, LabelSet(names, shown))


def _row(width, title, *values):
    cells = [_cell(value) for value in values]
    if len(values) == 2:
        cells.append(_cell(values[1] - values[0], "+.4f"))
    return title.ljust(width) + "".join(cell.rjust(12) for cell in cells)


def _table_of_two(titles, rows):
    """A table of two scores, each without the CRF, or before and after it.

    Args:
      titles: of the first column and of the scores.
      rows: list of (title, values of the first score, values of the second score).
    """
    columns = len(rows[0][1])
    width, span = max(len(title) for title, *_ in [titles, *rows]), 16 if columns == 1 else 24
    lines = [titles[0].ljust(width) + "".join(title.rjust(span) for title in titles[1:])]
    rule = "-" * len(lines[0])
    if columns == 2:
        lines.append(" " * width + 2 * ("before CRF".rjust(12) + "after CRF".rjust(12)))
    lines.append(rule)
    for title, *scores in rows:
        cells = [_cell(value).rjust(span // columns) for score in scores for value in score]
        lines.append(title.ljust(width) + "".join(cells))
    return "\n".join(lines)


def _cell(value, form=".4f"):
    return "-" if math.isnan(value) else format(value, form)
