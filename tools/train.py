"""Train a segmentation network; started again after an interruption, it goes on.

    python tools/train.py --flagfile=configs/demo.flags --data_dir=D --model_dir=M

M receives best.keras (best validation score), last.keras, labels.json, checkpoints/ and train/
(for `tensorboard --logdir=M`). With --crf_train the fully connected CRF is trained with the
network; its parameters are then in best_crf.json and last_crf.json, for --crf_params of the
other tools.
"""

from dataclasses import replace
from pathlib import Path

from absl import flags
from app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
import crf_flags
import data_flags
import keras
import tensorflow as tf

from deeplab_tf import build_deeplab
from deeplab_tf.data.pipeline import check_examples, training_batches
from deeplab_tf.errors import InputError
from deeplab_tf.models import refined
from deeplab_tf.training.batch_norm import freeze_bn, set_bn_momentum
from deeplab_tf.training.crf_training import CRFTraining, crf_rules
from deeplab_tf.training.loop import LoopSettings, Trainer
from deeplab_tf.training.optimizer import PUBLISHED_RULES, LayerwiseAdam, LayerwiseSGD
from deeplab_tf.training.precision import build_with_precision
from deeplab_tf.training.schedules import Poly, StepDecay
from deeplab_tf.training.validation import Validation

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "model_dir", None, "Folder for models, checkpoints and TensorBoard.", required=True
)
flags.DEFINE_string("train_split", "train", "List of the images to train on.")
flags.DEFINE_string("val_split", "val", "List of the images to validate on.")

flags.DEFINE_string("backbone", "resnet101", "keras.applications family; paper: vgg16, resnet101.")
flags.DEFINE_string("head", "aspp_l", "large_fov, aspp_s or aspp_l (all in the paper).")
flags.DEFINE_integer("output_stride", 8, "Pixels between two score cells; paper: 8.", lower_bound=1)
flags.DEFINE_string("weights", "imagenet", "imagenet, none, or a weights file.")
flags.DEFINE_float(
    "bn_momentum",
    None,
    "Share of the old batch statistics each step keeps, 0 to 1; 0.9 suits training from "
    "scratch. Default: as the backbone has it.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_bool(
    "freeze_bn", False, "Keep all of batch normalisation as loaded; paper (ResNet-101): yes."
)

flags.DEFINE_integer("steps", 20_000, "Number of updates; paper: 20000.", lower_bound=1)
flags.DEFINE_integer("batch_size", 10, "Images a step; paper: 10.", lower_bound=1)
flags.DEFINE_integer("crop_size", 321, "Side of a crop in pixels; paper: 321.", lower_bound=1)
flags.DEFINE_float("scale_low", 0.5, "Smallest random scale; paper: 0.5.", lower_bound=0)
flags.DEFINE_float("scale_high", 1.5, "Largest random scale; paper: 1.5.", lower_bound=0)
flags.DEFINE_float(
    "scale_step",
    0.0,
    "Distance of the scales drawn from; 0: any scale in the range. Paper: 0; the authors' "
    "own training: 0.25.",
    lower_bound=0,
)
flags.DEFINE_bool("mirror", True, "Mirror half of the crops left to right; paper: yes.")

flags.DEFINE_enum("optimizer", "sgd", ["sgd", "adam"], "Paper: sgd.")
flags.DEFINE_float(
    "learning_rate",
    1e-3,
    "At step 0; paper: 1e-3 (VGG-16), 2.5e-4 (ResNet-101).",
    lower_bound=0,
)
flags.DEFINE_enum("schedule", "poly", ["poly", "step"], "Course of the rate; paper: poly.")
flags.DEFINE_float("poly_power", 0.9, "Exponent of the poly schedule; paper: 0.9.")
flags.DEFINE_integer(
    "decay_every", 2000, "Steps between drops of the step schedule; paper: 2000.", lower_bound=1
)
flags.DEFINE_float("decay_factor", 0.1, "Factor of each drop; paper: 0.1.")
flags.DEFINE_float("momentum", 0.9, "Of SGD; paper: 0.9.", lower_bound=0, upper_bound=1)
flags.DEFINE_float(
    "weight_decay", 5e-4, "L2 added to the gradient of kernels; paper: 5e-4.", lower_bound=0
)
flags.DEFINE_bool(
    "layer_rates",
    True,
    "Learning rate x10 for the classifier, x2 for biases; paper: yes. Off: all layers alike.",
)

flags.DEFINE_bool(
    "crf_train",
    False,
    "Train the fully connected CRF behind the network, from --crf_params or the --crf_* values: "
    "w1, w2 and a compatibility of the labels; the network learns through it.",
)
flags.DEFINE_bool("crf_only", False, "With --crf_train: leave the network as --weights has it.")
flags.DEFINE_integer(
    "crf_train_iterations",
    5,
    "Mean field iterations in training; --crf_iterations are those of validation and use.",
    lower_bound=1,
)
flags.DEFINE_float(
    "crf_rate", 1.0, "Learning rate of the CRF's variables over --learning_rate.", lower_bound=0
)

flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", lower_bound=1)
flags.DEFINE_integer("eval_every", 500, "Steps between validations.", lower_bound=1)
flags.DEFINE_integer(
    "eval_images", 100, "Images scored in a validation; 0: never validate.", lower_bound=0
)
flags.DEFINE_integer("log_every", 20, "Steps between points of the curves.", lower_bound=1)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16"],
    "What the network computes in while it is trained; the saved models are float32.",
)
flags.DEFINE_integer("seed", 0, "Of weights, order, augmentation and dropout.")
flags.DEFINE_bool(
    "deterministic", False, "Only operations that give the same bits in every run; slower."
)
flags.DEFINE_integer("num_threads", 0, "CPU threads; 0: all.", lower_bound=0)


def set_up_tensorflow():
    """Set seed, threads and determinism, before anything is built."""
    keras.utils.set_random_seed(FLAGS.seed)
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.num_threads)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()


def check_crf_flags():
    """Refuse flags that would do nothing.

    Raises:
      InputError: naming the flag.
    """
    if FLAGS.crf_train:
        return
    reason = "has no effect in a training without --crf_train; add it"
    for flag in ("crf", "crf_only"):
        if FLAGS[flag].value:
            raise InputError(f"--{flag} {reason}")
    training = ("crf_train_iterations", "crf_rate")
    crf_flags.refuse_given(training + crf_flags.PARAMETER_FLAGS, reason)


def build_model(num_classes):
    """Build what is trained: the network, and with --crf_train the CRF behind it."""
    network = build_network(num_classes)
    if not FLAGS.crf_train:
        return network
    if FLAGS.crf_only:
        network.trainable = False
    params = replace(crf_flags.given_params(num_classes), iterations=FLAGS.crf_train_iterations)
    return refined(network, params, trainable=True, output_stride=FLAGS.output_stride)


def build_network(num_classes):
    """Build the network of the flags, with its batch normalisation set."""
    model = build_deeplab(
        FLAGS.backbone,
        FLAGS.head,
        num_classes=num_classes,
        output_stride=FLAGS.output_stride,
        weights=None if FLAGS.weights == "none" else FLAGS.weights,
    )
    if FLAGS.bn_momentum is not None:
        set_bn_momentum(model, FLAGS.bn_momentum)
    if FLAGS.freeze_bn:
        freeze_bn(model)
    return model


def make_optimizer():
    """Make the optimizer of the flags with its schedule."""
    if FLAGS.schedule == "poly":
        schedule = Poly(FLAGS.learning_rate, FLAGS.steps, FLAGS.poly_power)
    else:
        schedule = StepDecay(FLAGS.learning_rate, FLAGS.decay_every, FLAGS.decay_factor)
    settings = {
        "l2": FLAGS.weight_decay,
        "rules": crf_rules(FLAGS.crf_rate) + (PUBLISHED_RULES if FLAGS.layer_rates else ()),
    }
    if FLAGS.optimizer == "adam":
        return LayerwiseAdam(schedule, **settings)
    return LayerwiseSGD(schedule, FLAGS.momentum, **settings)


def open_split(split):
    """Open a split of the data set; its examples, label set and label colours, checked."""
    examples, label_set, colors = data_flags.open_split(split)
    check_examples(examples, label_set.num_classes, colors)
    return examples, label_set, colors


def make_batches_from(examples, num_classes, colors):
    """Give the function from the number of batches to skip to the training batches."""

    def batches_from(start):
        return training_batches(
            examples,
            num_classes=num_classes,
            batch_size=FLAGS.batch_size,
            crop_size=FLAGS.crop_size,
            scale_range=(FLAGS.scale_low, FLAGS.scale_high),
            scale_step=FLAGS.scale_step,
            mirror=FLAGS.mirror,
            seed=FLAGS.seed,
            start=start,
            colors=colors,
        )

    return batches_from


def make_validation():
    """Open what is scored while training; None where no image is to be."""
    if not FLAGS.eval_images:
        return None
    examples, label_set, colors = open_split(FLAGS.val_split)
    return Validation(examples, label_set, FLAGS.eval_images, colors=colors)


def make_hooks(num_classes, validation):
    """Give the loop's arguments that depend on whether the CRF is trained."""
    if FLAGS.crf_train:
        iterations = crf_flags.given_params(num_classes).iterations
        return CRFTraining(iterations, validation, not FLAGS.crf_only).hooks()
    if validation is None:
        return {}
    return {"validate": validation.score, "draw": validation.draw}


def loop_settings():
    """Gather the flags that say how long and how often."""
    return LoopSettings(
        model_dir=Path(FLAGS.model_dir),
        steps=FLAGS.steps,
        batch_size=FLAGS.batch_size,
        output_stride=FLAGS.output_stride,
        checkpoint_every=FLAGS.checkpoint_every,
        eval_every=FLAGS.eval_every,
        log_every=FLAGS.log_every,
    )


def main():
    """Train as the flags say."""
    check_crf_flags()
    set_up_tensorflow()
    examples, label_set, colors = open_split(FLAGS.train_split)
    validation = make_validation()
    model, float32_model = build_with_precision(
        lambda: build_model(label_set.num_classes), FLAGS.precision
    )
    settings = loop_settings()
    settings.model_dir.mkdir(parents=True, exist_ok=True)
    label_set.save(settings.model_dir / "labels.json")
    Trainer(
        model,
        make_optimizer(),
        make_batches_from(examples, label_set.num_classes, colors),
        settings,
        float32_model=float32_model,
        **make_hooks(label_set.num_classes, validation),
    ).run()


if __name__ == "__main__":
    run(main)
