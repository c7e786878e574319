"""Train a segmentation network; started again after an interruption, it goes on.

    python tools/train.py --flagfile=configs/demo.flags --data_dir=D --model_dir=M

M receives best.keras (best validation score), last.keras, labels.json, checkpoints/ and train/
(for `tensorboard --logdir=M`). With --crf_train the fully connected CRF is trained with the
network; its parameters are then in best_crf.json and last_crf.json, for --crf_params of the
other tools.
"""

from deeplab_tf.commands import hold_signals

# isort: split
from dataclasses import replace
from pathlib import Path

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
import keras
import tensorflow as tf

from deeplab_tf.commands import configs  # noqa: F401  defines --list_configs
from deeplab_tf.commands.allocator import keep_freed_memory
from deeplab_tf.commands.flags import (
    check_flags,
    crf_flags,
    network_flags,
    objective_flags,
    optimizer_flags,
)
from deeplab_tf.data.checks import check_tile_sizes
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.distribute.strategy import (
    STRATEGIES,
    is_chief,
    lost_worker_is_error,
    make_strategy,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.models import with_crf
from deeplab_tf.models.multiscale import with_branches
from deeplab_tf.models.precision import PRECISIONS, build_with_precision
from deeplab_tf.training.batch_norm import learns_bn, synchronize_bn
from deeplab_tf.training.checkpoints import save_model
from deeplab_tf.training.interrupts import Stopped, StopSignals
from deeplab_tf.training.joint_crf import CRFTraining, crf_rules
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.objectives import MultiScaleObjective
from deeplab_tf.training.settings import LoopSettings
from deeplab_tf.training.validation import Validation

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "model_dir", None, "Folder for models, checkpoints and TensorBoard.", required=True
)
flags.DEFINE_string("train_split", "train", "List of the images to train on.")
flags.DEFINE_string("val_split", "val", "List of the images to validate on.")

flags.DEFINE_integer("steps", 20_000, "Number of updates; paper: 20000.", lower_bound=1)
flags.DEFINE_integer(
    "batch_size", 10, "Images a step, of all devices together; paper: 10.", lower_bound=1
)
flags.DEFINE_integer(
    "accumulate",
    1,
    "Parts that a batch is gone through in, their gradients added up, where memory is short; "
    "paper (ResNet-101): 10.",
    lower_bound=1,
)
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
flags.DEFINE_float(
    "jitter",
    0.0,
    "Strength, 0 to 1, of random changes of brightness, contrast, saturation and hue; paper: 0.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_integer(
    "tile_size",
    0,
    "Side in pixels of overlapping tiles, each an example of its own that is scaled and cropped, "
    "for very large images; 0: whole images.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "tile_overlap", 0, "Pixels that neighbouring tiles share at least.", lower_bound=0
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

flags.DEFINE_float(
    "clip_norm",
    0.0,
    "Largest norm of the gradients of a batch, all variables together, which are scaled down to "
    "it; 0: any. Paper: 0.",
    lower_bound=0,
)

flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", lower_bound=1)
flags.DEFINE_integer(
    "keep", 3, "Newest checkpoints kept; one that is damaged is passed over.", lower_bound=1
)
flags.DEFINE_integer("eval_every", 500, "Steps between validations.", lower_bound=1)
flags.DEFINE_integer(
    "eval_images", 100, "Images scored in a validation; 0: never validate.", lower_bound=0
)
flags.DEFINE_integer("log_every", 20, "Steps between points of the curves.", lower_bound=1)
flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "What the network computes in while it is trained; the saved models are float32. float16, "
    "for GPUs without bfloat16, scales the loss and leaves out steps that overflow.",
)
flags.DEFINE_bool("xla", False, "Compile the training step with XLA; not with --crf_train.")
flags.DEFINE_integer("seed", 0, "Of weights, order, augmentation and dropout.")
flags.DEFINE_bool(
    "deterministic", False, "Only operations that give the same bits in every run; slower."
)
flags.DEFINE_enum(
    "strategy",
    "none",
    list(STRATEGIES),
    "none: one device; mirrored: all GPUs of this machine; multi_worker: several machines, as "
    "the environment variable TF_CONFIG says; see docs/distributed.md.",
)
flags.DEFINE_integer("num_threads", 0, "CPU threads; 0: all.", lower_bound=0)


def set_up_tensorflow():
    """Set seed, threads, memory and determinism, before anything is built."""
    keep_freed_memory()
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.num_threads:  # cannot be set any more where TensorFlow is in use, as in tests
        tf.config.threading.set_intra_op_parallelism_threads(FLAGS.num_threads)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()


def check_crf_flags():
    """Refuse flags that would do nothing.

    Raises:
      InputError: naming the flag.
    """
    if FLAGS.crf_train:
        if FLAGS.objective != "pixels":
            raise InputError(f"--objective={FLAGS.objective} does not train a CRF; leave one out")
        if FLAGS.xla:
            raise InputError("--xla cannot compile the CRF of --crf_train; leave one out")
        return
    reason = "has no effect in a training without --crf_train; add it"
    for flag in ("crf", "crf_only"):
        if FLAGS[flag].value:
            raise InputError(f"--{flag} {reason}")
    training = ("crf_train_iterations", "crf_rate")
    crf_flags.refuse_given(training + crf_flags.PARAMETER_FLAGS, reason)


def build_model(num_classes):
    """Build what is trained: the network, and with --crf_train the CRF behind it."""
    network = network_flags.build_network(num_classes)
    if not FLAGS.crf_train:
        return network
    if FLAGS.crf_only:
        network.trainable = False
    params = replace(crf_flags.given_params(num_classes), iterations=FLAGS.crf_train_iterations)
    return with_crf(network, params, trainable=True)


def build(num_classes, strategy):
    """Build the model to train, and the float32 model that is kept.

    Under a strategy the kept one is an ordinary model of one device. The one to train is built
    first: what is drawn for it is then the same as without a strategy.
    """
    with strategy.scope():
        model, kept = build_with_precision(lambda: build_model(num_classes), FLAGS.precision)
    if strategy is not tf.distribute.get_strategy():
        _, kept = build_with_precision(lambda: build_model(num_classes), "float32")
    network_flags.start(model)
    if strategy.num_replicas_in_sync > 1 and learns_bn(model):
        synchronize_over_devices(model, strategy)
    return model, kept


def synchronize_over_devices(model, strategy):
    """Synchronise batch normalisation, saying so; `InputError` with --accumulate."""
    if FLAGS.accumulate > 1:
        raise InputError(
            "batch normalisation over several devices cannot go through a batch in parts: give "
            "--freeze_bn or --accumulate=1"
        )
    synchronize_bn(model)
    if is_chief(strategy):
        print(f"batch normalisation is over all {strategy.num_replicas_in_sync} devices")


def open_splits():
    """Open the lists to train and to validate on, and check them together.

    Returns:
      (dict from the name of each list to its examples, label set, label colours).
    """
    names = [FLAGS.train_split, *([FLAGS.val_split] if FLAGS.eval_images else [])]
    splits, label_set, colors = check_flags.open_checked(names)
    if FLAGS.tile_size:
        check_tile_sizes(splits[FLAGS.train_split], tile_size(), FLAGS.tile_overlap)
    return splits, label_set, colors


def tile_size():
    """Height and width of a tile, (int, int); None where whole images are seen."""
    return (FLAGS.tile_size, FLAGS.tile_size) if FLAGS.tile_size else None


def make_batches_from(examples, num_classes, colors, shard):
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
            jitter=FLAGS.jitter,
            tile_size=tile_size(),
            tile_overlap=FLAGS.tile_overlap,
            seed=FLAGS.seed,
            start=start,
            shard=shard,
            colors=colors,
        )

    return batches_from


def make_validation(splits, label_set, colors):
    """Choose what is scored while training; None where no image is to be."""
    if not FLAGS.eval_images:
        return None
    return Validation(splits[FLAGS.val_split], label_set, FLAGS.eval_images, colors=colors)


def make_hooks(num_classes, validation):
    """Give the loop's arguments that depend on whether the CRF is trained."""
    if FLAGS.crf_train:
        iterations = crf_flags.given_params(num_classes).iterations
        return CRFTraining(iterations, validation, not FLAGS.crf_only).hooks()
    objective = objective_flags.make_objective(
        network_flags.output_stride(), network_flags.scales()
    )
    hooks = {"objective": objective}
    if validation is not None:
        hooks |= {"validate": validation.score, "draw": validation.draw}
    return hooks


def saver(save, label_set):
    """The same function from a model and a path, which first writes labels.json beside it."""

    def save_with_labels(model, path):
        label_set.save(path.with_name("labels.json"))
        save(model, path)

    return save_with_labels


def loop_settings():
    """Gather the flags that say how long and how often."""
    return LoopSettings(
        model_dir=Path(FLAGS.model_dir),
        steps=FLAGS.steps,
        batch_size=FLAGS.batch_size,
        output_stride=network_flags.output_stride(),
        accumulate=FLAGS.accumulate,
        checkpoint_every=FLAGS.checkpoint_every,
        eval_every=FLAGS.eval_every,
        log_every=FLAGS.log_every,
        keep=FLAGS.keep,
        clip_norm=FLAGS.clip_norm,
        scale_loss=FLAGS.precision == "mixed_float16",
        xla=FLAGS.xla,
    )


def make_trainer(settings, strategy):
    """Open the data and build everything that is trained, as the flags say."""
    splits, label_set, colors = open_splits()
    hooks = make_hooks(label_set.num_classes, make_validation(splits, label_set, colors))
    model, kept = build(label_set.num_classes, strategy)
    if isinstance(hooks["objective"], MultiScaleObjective):
        model = with_branches(model)
    hooks["save"] = saver(hooks.get("save", save_model), label_set)
    batches_from = make_batches_from(
        splits[FLAGS.train_split], label_set.num_classes, colors, worker(strategy)
    )
    with strategy.scope():
        optimizer = optimizer_flags.make_optimizer(FLAGS.steps, crf_rules(FLAGS.crf_rate))
    hooks |= {"float32_model": kept, "strategy": strategy}
    return Trainer(model, optimizer, batches_from, settings, **hooks)


def set_up():
    """Do all that comes before the training itself, as the flags say; a `Trainer`."""
    check_crf_flags()
    set_up_tensorflow()
    settings = loop_settings()
    strategy = make_strategy(FLAGS.strategy)
    with lost_worker_is_error(strategy):  # which may be while the networks are built
        return make_trainer(settings, strategy)


def main():
    """Train as the flags say; asked to stop, end with status 0."""
    with StopSignals() as stop:
        try:
            with stop.interruptible():
                hold_signals.release()
                trainer = set_up()
        except Stopped:
            print(
                f"stopped by {stop.requested} before the first step: nothing to save yet; the "
                "same command goes on from there"
            )
            return
        trainer.run(stop)


if __name__ == "__main__":
    run(main)
