"""The images that a network labels worst (DeepLab v2, failure modes)."""

import numpy as np

from deeplab_tf.data.shrink import shrink, shrink_label
from deeplab_tf.evaluation.figures.canvas import TITLE_SIZE, color_legend, new_figure, show
from deeplab_tf.evaluation.report import result_titles
from deeplab_tf.labels import VOID
from deeplab_tf.visualize import colorize

SIDE = 400  # longer side of the pictures, in pixels


def draw_failures(samples, label_set):
    """Draw images beside their true labels and the predicted ones, before and after the CRF.

    Args:
      samples: list of (`Prediction`, mean IoU of each of its labels), a row for each.
      label_set: `LabelSet` of the classes.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.
    """
    colors = label_set.color_table()
    titles = ["image", "truth", *result_titles(len(samples[0][1]))]
    columns = len(titles)
    ratio = max(prediction.truth.shape[0] / prediction.truth.shape[1] for prediction, _ in samples)
    figure = new_figure(8, len(samples) * (8 / columns * ratio + 0.25) + 0.7)
    axes = figure.subplots(len(samples), columns, squeeze=False)
    occurring = set()
    for row, (prediction, ious) in zip(axes, samples, strict=True):
        show(row[0], shrink(prediction.image, SIDE), titles[0])
        labels = (prediction.truth, *prediction.labels)
        for cell, title, label in zip(row[1:], titles[1:], labels, strict=True):
            show(cell, colorize(shrink_label(label, SIDE), colors), title)
            occurring |= set(np.unique(label).tolist())
        for cell, title, iou in zip(row[2:], titles[2:], ious, strict=True):
            cell.set_title(f"{title}: mean IoU {iou:.2f}", fontsize=TITLE_SIZE)
    names = [(label_set.names[i], colors[i]) for i in sorted(occurring - {VOID})]
    names += [("void: not scored", colors[VOID])] if VOID in occurring else []
    color_legend(figure, names)
    return figure
