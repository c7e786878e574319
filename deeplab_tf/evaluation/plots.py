"""Plots of scores, drawn by matplotlib, for files and for the report's page."""

import contextlib
import io
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Colors:
    """Colors of a plot, #rrggbb.

    Args:
      ink: of text and axes.
      faint: of the grid.
      before, after: of the scores before and after the CRF.
    """

    ink: str = "#1f2328"
    faint: str = "#d0d7de"
    before: str = "#c2570c"
    after: str = "#1d63d8"


PRINT = Colors()

_CELL = "#1d4ed8"  # of a confusion matrix; black and white text can be read on it
_NUMBERED_CLASSES = 12  # with more, a confusion matrix has no room for numbers
_FEW = 1e-4  # share of the pixels

_RULES = {
    "svg.hashsalt": "deeplab_tf",  # the same plot is the same file
    "svg.fonttype": "path",
    "text.parse_math": False,  # names of classes may hold dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "font.size": 10,
}


@contextlib.contextmanager
def style(colors=PRINT, **rules):
    """Matplotlib's settings for the plots of this module, while `with` lasts."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    colored = {**dict.fromkeys(inked, colors.ink), "grid.color": colors.faint}
    with matplotlib.rc_context({**_RULES, **colored, **rules}):
        yield


def trimap_figure(before, after=None):
    """Draw mean IoU and pixel accuracy near borders, as the DeepLab papers plot them.

    Args:
      before: `TrimapScores` of the network's labels.
      after: `TrimapScores` of the labels after the CRF, or None.

    Returns:
      `matplotlib.figure.Figure`, to be used inside `style`.
    """
    figure = Figure((9, 3.6), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2), ("miou", "pixel_accuracy"), strict=True):
        draw_trimap(axes, score, before, after)
    return figure


def draw_trimap(axes, score, before, after=None, colors=PRINT):
    """Draw one score of the pixels near borders over the width of the trimap.

    Args:
      axes: matplotlib's axes to draw on.
      score: "miou" or "pixel_accuracy".
      before, after: as for `trimap_figure`.
      colors: `Colors`.
    """
    for trimap, line in _lines(before, after, colors):
        found = trimap.to_dict()
        values = [np.nan if value is None else 100 * value for value in found[score]]
        axes.plot(found["widths"], values, **line)
    axes.set_xlabel("width of the trimap in pixels")
    axes.set_ylabel(f"{'mean IoU' if score == 'miou' else 'pixel accuracy'} in %")
    axes.set_xlim(0, len(before.counts) + 1)
    if after is not None:
        axes.legend(loc="lower right")


def draw_calibration(axes, before, after=None, colors=PRINT):
    """Draw a reliability diagram: the accuracy of pixels over their confidence.

    Bins with fewer than one in 10,000 pixels are left out.

    Args:
      axes: matplotlib's axes to draw on.
      before: `Calibration` of the network.
      after: `Calibration` after the CRF, or None.
      colors: `Colors`.
    """
    axes.plot([0, 100], [0, 100], color=colors.ink, linewidth=0.8, linestyle=":")
    for calibration, line in _lines(before, after, colors):
        pixels = calibration.sums[0]
        enough = pixels >= _FEW * pixels.sum()  # the accuracy of a few pixels is chance
        confidence, accuracy = calibration.confidence[enough], calibration.accuracy[enough]
        axes.plot(100 * confidence, 100 * accuracy, marker="o", **line)
    axes.set_xlabel("confidence in %")
    axes.set_ylabel("accuracy in %")
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 102)
    if after is not None:
        axes.legend(loc="best")


def draw_confidences(axes, before, after=None, colors=PRINT):
    """Draw how many pixels have which confidence.

    Args:
      axes: matplotlib's axes to draw on.
      before, after, colors: as for `draw_calibration`.
    """
    edges = np.linspace(0, 100, before.sums.shape[1] + 1)
    for calibration, line in _lines(before, after, colors):
        share = 100 * calibration.sums[0] / max(1, calibration.sums[0].sum())
        axes.stairs(share, edges, **line)
    axes.set_xlabel("confidence in %")
    axes.set_ylabel("pixels in %")
    axes.set_xlim(0, 102)
    if after is not None:
        axes.legend(loc="best")


def draw_confusion(axes, confusion, names, colors=PRINT):
    """Draw a confusion matrix, each row in per cent of the pixels of the true class.

    Args:
      axes: matplotlib's axes to draw on.
      confusion: `ConfusionMatrix`.
      names: the class names.
      colors: `Colors`.
    """
    matrix = confusion.matrix
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    # Opacity instead of shades, so that it fits a light and a dark page.
    cells = np.empty((*shares.shape, 4))
    cells[...] = to_rgba(_CELL)
    cells[..., 3] = shares
    axes.imshow(cells, interpolation="nearest")
    for (row, column), share in np.ndenumerate(shares):
        if len(names) <= _NUMBERED_CLASSES and share >= 0.005:
            color = "white" if share > 0.75 else colors.ink
            text = f"{100 * share:.0f}"
            axes.text(column, row, text, color=color, ha="center", va="center", fontsize=7.5)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(False)
    size = min(10, 260 / len(names))  # so that the names of all classes fit
    ticks = range(len(names)) if size >= 2 else []
    axes.set_xticks(ticks, [names[tick] for tick in ticks], rotation=90, fontsize=size)
    axes.set_yticks(ticks, [names[tick] for tick in ticks], fontsize=size)
    axes.tick_params(length=0)


def encode(figure, kind, dpi=150):
    """The bytes of a file with the figure.

    Args:
      figure: `matplotlib.figure.Figure`.
      kind: "svg" or "png".
      dpi: pixels per inch of a PNG.
    """
    file = io.BytesIO()
    # Without the date, the same plot is the same file.
    metadata = {"Date": None} if kind == "svg" else {}
    figure.savefig(file, format=kind, dpi=dpi, metadata=metadata)
    return file.getvalue()


def _lines(before, after, colors):
    """Each result with the look of its line, which differs in more than the color."""
    look = {"color": colors.before, "linewidth": 1.8, "linestyle": "--"}
    if after is None:
        return [(before, {**look, "linestyle": "-", "color": colors.after})]
    solid = {"color": colors.after, "linewidth": 1.8, "label": "after CRF"}
    return [(before, {**look, "label": "before CRF"}), (after, solid)]
