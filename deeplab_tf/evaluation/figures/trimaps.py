"""Examples of trimaps: which pixels are scored near borders, as in the DeepLab papers."""

import numpy as np

from deeplab_tf.evaluation.boundary import trimap_distances
from deeplab_tf.evaluation.figures.canvas import color_legend, new_figure, show
from deeplab_tf.labels import VOID
from deeplab_tf.visualize import colorize

COLUMNS = 3
_NOT_SCORED = 245  # gray level


def draw_trimaps(image, label, label_set, widths, border="any"):
    """Draw an image, its label map, and its trimaps of several widths.

    Args:
      image: (H, W, 3) uint8 RGB, or None.
      label: (H, W) uint8 class indices, 255 = void.
      label_set: `LabelSet` of the classes.
      widths: of the trimaps in pixels, whole numbers of at least 1.
      border: see `trimap_distances`.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.
    """
    colors = label_set.color_table()
    distances, known = trimap_distances(label, border), label != VOID
    cells = [] if image is None else [("image", image)]
    colored = colorize(label, colors)
    cells.append(("labels", colored))
    for width in widths:
        near = known & (distances <= width)
        picture = np.where(near[..., None], colored, np.uint8(_NOT_SCORED))
        picture[~known] = colors[VOID]
        share = 100 * near.sum() / max(1, known.sum())
        pixels = "1 pixel" if width == 1 else f"{width} pixels"
        cells.append((f"width {pixels}: {share:.0f} % scored", picture))
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    height = 7.8 / columns * label.shape[0] / label.shape[1] + 0.3
    figure = new_figure(8, rows * height + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in axes[len(cells) :]:
        cell.axis("off")
    for cell, (title, picture) in zip(axes, cells, strict=False):
        show(cell, picture, title)
    occurring = [index for index in np.unique(label) if index != VOID]
    entries = [(label_set.names[index], colors[index]) for index in occurring]
    entries += [("void", colors[VOID])] if not known.all() else []
    color_legend(figure, [*entries, ("not scored", [_NOT_SCORED] * 3)])
    return figure
