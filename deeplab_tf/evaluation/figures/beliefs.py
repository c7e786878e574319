"""A class's score map and belief map over the iterations of the CRF (DeepLab v2, figure 5)."""

import numpy as np

from deeplab_tf.evaluation.figures.canvas import AMOUNT, SIGNED, TITLE_SIZE, new_figure, show

_SMALLEST = 1e-30  # probabilities are float32, and may be 0


def class_scores(probabilities, index):
    """The score map of a class: what the softmax was taken of, the mean over the classes being 0.

    The softmax is the same for all scores that differ by one number at each pixel, so that this is
    the only way to write the scores of which the classes' mean is 0.

    Args:
      probabilities: (H, W, C) floats.
      index: of the class.

    Returns:
      (H, W) float32.

    Example:
      >>> class_scores(np.float32([[[0.8, 0.2]]]), 0)  # half of log(0.8 / 0.2)
      array([[0.6931472]], dtype=float32)
    """
    logarithms = np.log(np.maximum(probabilities, _SMALLEST))
    return logarithms[..., index] - logarithms.mean(axis=-1)


def draw_beliefs(image, stages, index, name):
    """Draw the score map and the belief map of a class at several stages.

    Args:
      image: (H, W, 3) uint8 RGB.
      stages: {caption: (H, W, C) probabilities}, such as the network's and those after some
        iterations of the CRF.
      index, name: of the class.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `plots.style`.
    """
    scores = [class_scores(probabilities, index) for probabilities in stages.values()]
    limit = max(float(np.abs(score).max()) for score in scores) or 1.0
    height, width = image.shape[:2]
    columns = 1 + len(stages)
    figure = new_figure(8, 2 * 7 / columns * height / width + 0.8)
    axes = figure.subplots(2, columns, squeeze=False)
    grid = axes[0, 0].get_gridspec()
    for cell in axes[:, 0]:
        cell.remove()
    axes = axes[:, 1:]
    show(figure.add_subplot(grid[:, 0]), image, "image")  # beside both rows
    for column, (caption, probabilities) in enumerate(stages.items()):
        signed = {"cmap": SIGNED, "vmin": -limit, "vmax": limit}
        score = show(axes[0, column], scores[column], caption, **signed)
        belief = show(axes[1, column], probabilities[..., index], cmap=AMOUNT, vmin=0, vmax=1)
    for row, image_of_row, title in zip(axes, (score, belief), ("score", "belief"), strict=True):
        row[0].set_ylabel(title)
        figure.colorbar(image_of_row, ax=row, pad=0.01, aspect=12).ax.tick_params(labelsize=9)
    title = f"class: {name}; by the network, and after iterations of the CRF"
    figure.suptitle(title, fontsize=TITLE_SIZE)
    return figure
