"""The plots of the page, as SVG inside it, in the colors of the page's style."""

import re

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from deeplab_tf.evaluation.plots import (
    Colors,
    draw_calibration,
    draw_confidences,
    draw_confusion,
    draw_trimap,
    encode,
    style,
)

# No color that anyone would choose: each is replaced by a variable of the style sheet, which has
# other values in dark mode.
_VARIABLES = {
    "#010101": "var(--ink)",
    "#010102": "var(--line)",
    "#010103": "var(--before)",
    "#010104": "var(--after)",
}
_COLORS = Colors(*_VARIABLES)

_SIZE = (4.4, 3.3)  # inches; small, so that the text is large enough on a phone


def trimap_figures(before, after=None):
    """The plots of the scores near borders, a list of two SVG elements.

    Args:
      before: `TrimapScores` of the network's labels.
      after: `TrimapScores` of the labels after the CRF, or None.
    """
    return [
        _svg(f"trimap-{score}", f"{title} near borders", draw_trimap, score, before, after)
        for score, title in (("miou", "Mean IoU"), ("pixel_accuracy", "Pixel accuracy"))
    ]


def calibration_figures(before, after=None):
    """The reliability diagram and the histogram of the confidence, a list of two SVG elements.

    Args:
      before: `Calibration` of the network.
      after: `Calibration` after the CRF, or None.
    """
    return [
        _svg("reliability", "Accuracy over confidence", draw_calibration, before, after),
        _svg("confidence", "Pixels over confidence", draw_confidences, before, after),
    ]


def confusion_figure(title, confusion, names):
    """The plot of a confusion matrix, an SVG element.

    Args:
      title: which labels it is of, for its id and its description.
      confusion: `ConfusionMatrix`.
      names: the class names.
    """
    return _svg(
        f"confusion-{title.replace(' ', '-')}",
        f"Confusion matrix, {title}; the largest confusions are listed in the table",
        draw_confusion,
        confusion,
        names,
        size=(4.4, 4.4),
    )


def _svg(name, title, draw, *arguments, size=_SIZE):
    """Draw a plot as an SVG element that fits the page.

    Args:
      name: of the plot, which starts the ids in the element.
      title: what the plot shows, for screen readers.
      draw: function of `deeplab_tf.evaluation.plots` from axes, arguments and colors.
      *arguments: for `draw`.
      size: (width, height) in inches.

    Returns:
      Markup.
    """
    with style(_COLORS, **{"svg.fonttype": "none"}):
        figure = Figure(size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes, *arguments, colors=_COLORS)
        text = encode(figure, "svg").decode()
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', body)[0]
    body = re.sub(r"<metadata>.*?</metadata>", "", body[body.index(">") + 1 :], flags=re.DOTALL)
    # Several plots in one page must not share ids.
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    start = f'<svg class="plot" role="img" aria-label="{escape(title)}" {view}>'
    return Markup(start + body)
