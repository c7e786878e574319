"""The flags of the loss."""

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.data.class_weights import BALANCINGS, balanced_weights
from deeplab_tf.errors import InputError
from deeplab_tf.models.score_heads import slices_of
from deeplab_tf.training.cross_entropy import check_class_weights
from deeplab_tf.training.depth_loss import DepthObjective
from deeplab_tf.training.head_losses import HeadsObjective
from deeplab_tf.training.losses import (
    LABEL_SIZES,
    MultiScaleObjective,
    ProbabilityObjective,
    ScoreMapObjective,
)
from deeplab_tf.training.partial_labels import PartialLabelsObjective
from deeplab_tf.training.weak_supervision import (
    ClassifierObjective,
    EMAdaptObjective,
    MILObjective,
    OnProbabilities,
)

# These use only which classes an image shows.
_WEAK = {"classifier": ClassifierObjective, "mil": MILObjective, "em_adapt": EMAdaptObjective}


def define_objective_flags(values):
    """Define the flags of the loss."""
    define = heading(values, "Loss")
    define.enum(
        "objective",
        "pixels",
        ["pixels", "partial", *_WEAK, "depth"],
        "pixels: the papers' cross-entropy over all pixels. partial: for points and scribbles, "
        "cross-entropy where they are and mil for their classes. classifier, mil and em_adapt use "
        "only which classes an image shows; mil and em_adapt should start from a classifier. "
        "depth: predict the depth of every pixel, see docs/depth.md; the data set must have depth "
        "maps, and needs no labels.",
    )
    define.float(
        "foreground_portion",
        0.2,
        "em_adapt: minimum share of an image for each class that it shows; paper: 0.2.",
        lower_bound=0,
        upper_bound=1,
    )
    define.float(
        "background_portion",
        0.4,
        "em_adapt: minimum share of an image for the background; paper: 0.4.",
        lower_bound=0,
        upper_bound=1,
    )
    define.enum(
        "branch_labels",
        "authors",
        LABEL_SIZES,
        "With several --scales: size of the labels for each scale's own loss. authors: the sizes "
        "in the authors' network. own: the size of the scale's scores.",
    )
    define.string(
        "class_weights",
        None,
        "Weights of the classes in the loss: a number for each class, separated by commas; or "
        "inverse_frequency or median_frequency (SegNet), which compute them from the training "
        "labels. Default: 1 for each, as in the papers.",
    )


def learns_depth(flags):
    """Whether the network of the flags is to predict depth, not classes."""
    return "objective" in flags and flags.objective == "depth"


def choose_objective(flags, output_stride, scales, examples, label_set, encoding, say):
    """The objective of the flags, with class weights from the examples.

    Args:
      flags, output_stride, scales: see `make_objective`.
      examples: list of examples to train on.
      label_set: their `LabelSet`, or `HeadLabels` with --heads.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      say: whether to print the class weights.

    Raises:
      InputError: as `class_weights` and `make_objective`.
    """
    if flags.heads:
        weights = head_weights(flags, examples, label_set)
        values = [weight for each in weights for weight in each or ()]
    else:
        weights = values = class_weights(flags, examples, label_set.num_classes, encoding)
    if values and say:
        pairs = zip(label_set.names, values, strict=True)
        print("class weights:", ", ".join(f"{name} {weight:.4g}" for name, weight in pairs))
    if flags.heads:
        return make_heads_objective(flags, output_stride, scales, label_set, weights)
    return make_objective(flags, output_stride, scales, weights)


def class_weights(flags, examples, num_classes, encoding):
    """The class weights of the flags.

    Args:
      flags: the parsed flags.
      examples: list of examples to train on.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.

    Returns:
      A tuple of a number for each class, or None.

    Raises:
      InputError: if they cannot be used, or a label cannot be read.
    """
    given = flags.class_weights
    if not given:
        return None
    if flags.objective in _WEAK or learns_depth(flags):
        raise InputError(
            f"--class_weights has no effect with --objective={flags.objective}; leave one out"
        )
    if given in BALANCINGS:
        return balanced_weights(given, examples, num_classes, encoding)
    try:
        weights = tuple(float(number) for number in given.split(","))
        check_class_weights(weights, num_classes)
    except InputError as error:
        raise InputError(f"--class_weights: {error}") from None
    except ValueError:
        raise InputError(
            f"--class_weights={given}: give {' or '.join(BALANCINGS)}, or a number for each of the"
            f" {num_classes} classes, separated by commas"
        ) from None
    return weights


def head_weights(flags, examples, label_set):
    """The class weights of the flags for each score head.

    Args:
      flags: the parsed flags.
      examples: list of `HeadsExample` to train on.
      label_set: their `HeadLabels`.

    Returns:
      A list of what `class_weights` returns.

    Raises:
      InputError: if they are numbers, which would be those of one head.
    """
    if flags.class_weights and flags.class_weights not in BALANCINGS:
        raise InputError(
            f"--class_weights={flags.class_weights}: numbers are for one label space; with --heads "
            f"give {' or '.join(BALANCINGS)}, which weigh the classes of each head"
        )
    encodings = examples[0].encodings
    return [
        class_weights(flags, [each.parts[index] for each in examples], size, encodings[index])
        for index, size in enumerate(label_set.sizes.values())
    ]


def make_heads_objective(flags, output_stride, scales, label_set, weights):
    """Make the objective of a network with several score heads: the sum of those of the heads.

    Args:
      flags, output_stride, scales: see `make_objective`.
      label_set: `HeadLabels` of the heads.
      weights: what `head_weights` returned.

    Raises:
      InputError: if a flag would have no effect.
    """
    objectives = [make_objective(flags, output_stride, scales, each) for each in weights]
    return HeadsObjective(tuple(objectives), tuple(slices_of(label_set.sizes).values()))


def make_objective(flags, output_stride, scales, weights=None):
    """Make the objective of the flags.

    Args:
      flags: the parsed flags.
      output_stride: pixels between two positions of the scores.
      scales: the network's input scales.
      weights: what `class_weights` returned.

    Raises:
      InputError: if a flag would have no effect.
    """
    portions = "foreground_portion", "background_portion"
    if flags.objective != "em_adapt":
        refuse_given(flags, portions, "has no effect without --objective=em_adapt; leave it out")
    if learns_depth(flags):
        refuse_given(flags, ["branch_labels"], "has no effect with --objective=depth; leave it out")
        return DepthObjective(output_stride)
    if flags.objective != "pixels":
        return _of_weak_labels(flags, output_stride, weights)
    if flags.crf_train:
        return ProbabilityObjective(weights)
    if len(scales) > 1:
        return MultiScaleObjective(scales, output_stride, flags.branch_labels, weights)
    refuse_given(flags, ["branch_labels"], "has no effect with one scale; leave it out")
    return ScoreMapObjective(output_stride, weights)


def _of_weak_labels(flags, output_stride, weights):
    stride = 1 if flags.crf_train else output_stride  # the CRF has every pixel
    if flags.objective == "partial":
        objective = PartialLabelsObjective(stride, weights)
    elif flags.objective == "em_adapt":
        portions = flags.foreground_portion, flags.background_portion
        objective = EMAdaptObjective(stride, foreground=portions[0], background=portions[1])
    else:
        objective = _WEAK[flags.objective](stride)
    return OnProbabilities(objective) if flags.crf_train else objective
