"""The flags that say what is minimised."""

from absl import flags

from deeplab_tf.errors import InputError
from deeplab_tf.training.objectives import LABEL_SIZES, MultiScaleObjective, ScoreMapObjective
from deeplab_tf.training.weak_supervision import EMAdaptObjective, MILObjective

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "objective",
    "pixels",
    ["pixels", "mil", "em_adapt"],
    "pixels: the published cross-entropy; mil and em_adapt see only which classes an image shows.",
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
    if FLAGS.objective == "mil":
        return MILObjective(output_stride)
    if FLAGS.objective == "em_adapt":
        return EMAdaptObjective(output_stride)
    if len(scales) > 1:
        return MultiScaleObjective(scales, output_stride, FLAGS.branch_labels)
    if FLAGS["branch_labels"].present:
        raise InputError("--branch_labels has no effect with one scale; leave it out")
    return ScoreMapObjective(output_stride)
