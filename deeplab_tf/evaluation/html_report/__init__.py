"""The report of an evaluation: one HTML page that holds everything it shows."""

from deeplab_tf.evaluation.html_report.cards import Card, make_card
from deeplab_tf.evaluation.html_report.page import Report, render

__all__ = ["Card", "Report", "make_card", "render"]
