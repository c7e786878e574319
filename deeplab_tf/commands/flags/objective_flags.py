"""The flags that say what is minimised."""

from absl import flags

from deeplab_tf.errors import InputError
from deeplab_tf.training.losses import LABEL_SIZES, MultiScaleObjective, ScoreMapObjective
from deeplab_tf.training.weak_supervision import (
    ClassifierObjective,
    EMAdaptObjective,
    MILObjective,
)

FLAGS = flags.FLAGS

# What looks only at which classes an image shows.
WEAK = {"classifier": ClassifierObjective, "mil": MILObjective, "em_adapt": EMAdaptObjective}

flags.DEFINE_enum(
    "objective",
    "pixels",
    ["pixels", *WEAK],
    "pixels: the published cross-entropy; classifier, mil and em_adapt see only which classes an "
    "image shows, and mil and em_adapt should start from a classifier.",
)
flags.DEFINE_float(
    "foreground_portion",
    0.2,
    "em_adapt: least portion of an image for each class that it shows; paper: 0.2.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_float(
    "background_portion",
    0.4,
    "em_adapt: least portion of an image for the background; paper: 0.4.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_enum(
    "branch_labels",
    "authors",
    LABEL_SIZES,
    "With several --scales, the labels of each scale's own scores: at the authors' sizes, or at "
    "the scale's own size.",
)


def make_objective(output_stride, scales):
    """Make the objective of the flags.

    Args:
      output_stride: pixels between two cells of the scores.
      scales: the network's input scales.

    Raises:
      InputError: where flags do not go together.
    """
    if FLAGS.objective == "em_adapt":
        portions = {"foreground": FLAGS.foreground_portion, "background": FLAGS.background_portion}
        return EMAdaptObjective(output_stride, **portions)
    for flag in ("foreground_portion", "background_portion"):
        if FLAGS[flag].present:
            raise InputError(f"--{flag} has no effect without --objective=em_adapt; leave it out")
    if FLAGS.objective in WEAK:
        return WEAK[FLAGS.objective](output_stride)
    if len(scales) > 1:
        return MultiScaleObjective(scales, output_stride, FLAGS.branch_labels)
    if FLAGS["branch_labels"].present:
        raise InputError("--branch_labels has no effect with one scale; leave it out")
    return ScoreMapObjective(output_stride)
