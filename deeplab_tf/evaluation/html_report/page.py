"""From scores and cards to the page."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from deeplab_tf.evaluation.html_report import figures
from deeplab_tf.evaluation.html_report.cards import OUTCOMES
from deeplab_tf.evaluation.html_report.template import render_template
from deeplab_tf.evaluation.report import MEANS, result_titles, trimap_rows
from deeplab_tf.evaluation.result_scores import ResultScores
from deeplab_tf.labels import LabelSet

_TEMPLATE = "page.html.jinja"
_DASH, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_SHOWN_CONFUSIONS = 12  # rows of the table of the largest confusions


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Args:
      title: of the page.
      command: that made it, as in the shell.
      settings: dict from the name of a setting to its value.
      label_set: `LabelSet` of the data set.
      before: `ResultScores` of the network's labels, with trimaps and calibration.
      after: the same of the labels after the CRF, or None.
      groups: list of `Group` of the images to show.
      cards: dict from the index of an image to its `Card`.
    """

    title: str
    command: str
    settings: dict
    label_set: LabelSet
    before: ResultScores
    after: ResultScores | None
    groups: list
    cards: dict

    @property
    def results(self):
        """The results, one or two `ResultScores`, by their titles."""
        results = [self.before] if self.after is None else [self.before, self.after]
        return dict(zip(result_titles(len(results)), results, strict=True))

    def image_scores(self, index):
        """The mean IoU of an image in each result."""
        return [result.image_mious[index] for result in self.results.values()]


def render(report):
    """Make the page of a report.

    Args:
      report: `Report`.

    Returns:
      str, the HTML page, which needs no other file and sends no request.
    """
    trimaps = [result.trimap for result in report.results.values()]
    calibrations = [result.calibration for result in report.results.values()]
    return render_template(
        _TEMPLATE,
        {"percent": percent, "signed": signed, "trend": trend},
        report=report,
        heads=list(report.results),
        summary=summary(report),
        class_tables=class_tables(report),
        trimaps=figures.trimap_figures(*trimaps),
        trimap_rows=trimap_rows(*trimaps),
        confusions={
            title: figures.confusion_figure(title, result.confusion, report.label_set.names)
            for title, result in report.results.items()
        },
        largest=largest_confusions(report),
        calibrations=figures.calibration_figures(*calibrations),
        outcomes={name: color for name, color in OUTCOMES.items() if _can_occur(name, report)},
    )


def summary(report):
    """The mean scores: list of (title, value of each result)."""
    found = {
        **{title: attrgetter(f"confusion.{score}") for title, score in MEANS.items()},
        "mean boundary IoU": attrgetter("boundary.miou"),
        "mean boundary F1": attrgetter("boundary.mean_f1"),
        "expected calibration error": attrgetter("calibration.error"),
    }
    return [(title, [get(one) for one in report.results.values()]) for title, get in found.items()]


def class_tables(report):
    """The scores of the classes: for each score a title and list of (name, color, values)."""
    found = {
        "IoU": lambda result: result.confusion.per_class_iou,
        "Boundary IoU": lambda result: result.boundary.per_class_iou,
        "Boundary F1": lambda result: result.boundary.per_class_f1,
    }
    names, colors = report.label_set.names, report.label_set.colors
    tables = {}
    for title, get in found.items():
        columns = [get(result).tolist() for result in report.results.values()]
        tables[title] = list(zip(names, colors, zip(*columns, strict=True), strict=True))
    return tables


def largest_confusions(report, count=_SHOWN_CONFUSIONS):
    """The pairs of classes that are confused most, by the last result.

    Returns:
      List of (true class, predicted class, shares), shares the part of the true class's pixels in
      each result.
    """
    matrices = [result.confusion.matrix for result in report.results.values()]
    wrong = matrices[-1] * (1 - np.eye(len(matrices[-1]), dtype=int))
    pairs = [
        np.unravel_index(place, wrong.shape)
        for place in np.argsort(-wrong, axis=None, kind="stable")[:count]
        if wrong.ravel()[place]
    ]
    names = report.label_set.names
    return [
        (
            names[true],
            names[found],
            [one[true, found] / max(1, one[true].sum()) for one in matrices],
        )
        for true, found in pairs
    ]


def percent(value):
    """A share as text in per cent, an en dash for NaN."""
    return _DASH if np.isnan(value) else f"{100 * value:.1f}"


def signed(values):
    """The change from the first to the second share, as text in percentage points."""
    change = values[1] - values[0]
    if np.isnan(change):
        return percent(change)
    text = f"{100 * change:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", _MINUS)


def trend(values, lower_is_better=False):
    """Whether a change that `signed` shows is for the "better", the "worse", or "none"."""
    sign = signed(values)[0]
    if sign not in ("+", _MINUS):
        return "none"
    return "better" if (sign == "+") != lower_is_better else "worse"


def _can_occur(outcome, report):
    return report.after is not None or "CRF" not in outcome
