"""Evaluation: predict the labels or the depth of images, score them, and report the scores."""

from deeplab_tf.evaluation.boundary import BoundaryScores, TrimapScores
from deeplab_tf.evaluation.depth import predict_depth
from deeplab_tf.evaluation.depth_errors import DepthErrors
from deeplab_tf.evaluation.inference import (
    apply_crf,
    most_probable,
    predict_probabilities,
    segment,
)
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.report import comparison_panel, score_dict, score_table

__all__ = [
    "BoundaryScores",
    "ConfusionMatrix",
    "DepthErrors",
    "TrimapScores",
    "apply_crf",
    "comparison_panel",
    "most_probable",
    "predict_depth",
    "predict_probabilities",
    "score_dict",
    "score_table",
    "segment",
]
