"""HTML pages that hold everything they show: an evaluation's report, and a contact sheet."""

from deeplab_tf.evaluation.html_report.cards import Card, make_card
from deeplab_tf.evaluation.html_report.contact_sheet import ContactSheet
from deeplab_tf.evaluation.html_report.page import Report, render

__all__ = ["Card", "ContactSheet", "Report", "make_card", "render"]
