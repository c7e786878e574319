"""Results of an evaluation as a table, as JSON, and as a picture."""

import math

from deeplab_tf.visualize import colorize, panel

_MEANS = {
    "mean IoU": "miou",
    "pixel accuracy": "pixel_accuracy",
    "mean accuracy": "mean_accuracy",
    "frequency weighted IoU": "frequency_weighted_iou",
}


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
        (title, *(getattr(column, score) for column in columns)) for title, score in _MEANS.items()
    ]
    width = max(len(row[0]) for row in classes + means)
    heads = ["IoU"] if after is None else ["before CRF", "after CRF", "change"]
    title = "class".ljust(width) + "".join(head.rjust(12) for head in heads)
    rule = "-" * len(title)
    rows = [_row(width, *row) for row in classes], [_row(width, *row) for row in means]
    return "\n".join([title, rule, *rows[0], rule, *rows[1]])


def score_dict(label_set, before, after=None):
    """Collect the scores in a dict for JSON.

    Args:
      label_set, before, after: as in `score_table`.

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
    captions = ["image", "truth", "before CRF", "after CRF"]
    if rows and len(rows[0]) == 3:
        captions = ["image", "truth", "network"]
    return panel(rows, captions, label_set)


def _row(width, title, *values):
    cells = [_cell(value) for value in values]
    if len(values) == 2:
        cells.append(_cell(values[1] - values[0], "+.4f"))
    return title.ljust(width) + "".join(cell.rjust(12) for cell in cells)


def _cell(value, form=".4f"):
    return "-" if math.isnan(value) else format(value, form)
