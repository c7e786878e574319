"""Evaluation: predict the labels of images, score them, and report the scores."""

from deeplab_tf.evaluation.inference import (
    find_output_stride,
    most_probable,
    predict_probabilities,
    refine,
    segment,
)
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.report import comparison_panel, score_dict, score_table

__all__ = [
    "ConfusionMatrix",
    "comparison_panel",
    "find_output_stride",
    "most_probable",
    "predict_probabilities",
    "refine",
    "score_dict",
    "score_table",
    "segment",
]
