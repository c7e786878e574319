"""Training: losses, schedules, optimizers, and the loop with its checkpoints."""

from deeplab_tf.training.depth_loss import DepthLoss, DepthObjective
from deeplab_tf.training.depth_validation import DepthValidation
from deeplab_tf.training.freezing import freeze_bn, set_bn_momentum, train_only
from deeplab_tf.training.head_losses import HeadsLoss, HeadsObjective
from deeplab_tf.training.joint_crf import CRFTraining
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.losses import (
    MultiScaleObjective,
    ProbabilityObjective,
    ScoreMapObjective,
)
from deeplab_tf.training.optimizer import LayerwiseAdam, LayerwiseSGD
from deeplab_tf.training.schedules import Poly, StepDecay
from deeplab_tf.training.settings import LoopSettings
from deeplab_tf.training.validation import HeadsValidation, Validation

__all__ = [
    "CRFTraining",
    "DepthLoss",
    "DepthObjective",
    "DepthValidation",
    "HeadsLoss",
    "HeadsObjective",
    "HeadsValidation",
    "LayerwiseAdam",
    "LayerwiseSGD",
    "LoopSettings",
    "MultiScaleObjective",
    "Poly",
    "ProbabilityObjective",
    "ScoreMapObjective",
    "StepDecay",
    "Trainer",
    "Validation",
    "freeze_bn",
    "set_bn_momentum",
    "train_only",
]
