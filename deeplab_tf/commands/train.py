"""Train a segmentation network; after an interruption, `deeplab-tf train --model_dir=M` continues.

    deeplab-tf train --flagfile=demo --data_dir=D --model_dir=M

M receives best.keras (best mean IoU on the validation images), last.keras, labels.json, run.json
(data set, network and flags, which the commands after it take from there), checkpoints/ and train/
(for `tensorboard --logdir=M`). With --crf_train the fully connected CRF is trained together with
the network; best_crf.json and last_crf.json then hold its parameters, for --crf_params of the
other commands.
"""

import shlex
import signal
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from deeplab_tf import __version__
from deeplab_tf.commands.agreement import run_facts
from deeplab_tf.commands.flags.batches import batches_from, define_batch_flags, tile_size
from deeplab_tf.commands.flags.check import define_check_flags, open_checked
from deeplab_tf.commands.flags.crf import define_crf_flags, given_params
from deeplab_tf.commands.flags.data import define_data_flags, open_split
from deeplab_tf.commands.flags.depth import check_depth_flags, open_depth
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.heads import check_heads_flags
from deeplab_tf.commands.flags.joint_crf import (
    check_joint_crf_flags,
    define_joint_crf_flags,
    with_trained_crf,
)
from deeplab_tf.commands.flags.loop import define_loop_flags, loop_settings
from deeplab_tf.commands.flags.model import define_testing_flags
from deeplab_tf.commands.flags.network import (
    build_network,
    define_architecture_flags,
    describe_network,
    output_stride,
)
from deeplab_tf.commands.flags.objective import (
    choose_objective,
    define_objective_flags,
    learns_depth,
)
from deeplab_tf.commands.flags.optimizer import define_optimizer_flags, make_optimizer
from deeplab_tf.commands.flags.scales import read_scales
from deeplab_tf.commands.flags.start import check_start_flags, define_start_flags, start
from deeplab_tf.commands.memory import keep_freed_memory
from deeplab_tf.commands.outputs import command_line, print_next, print_written
from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.commands.recall import check_same_data, has_checkpoint, recall_training
from deeplab_tf.commands.runs import RUN_FILE, Run
from deeplab_tf.data.checks import check_tile_sizes
from deeplab_tf.distribute.agreement import check_agreement
from deeplab_tf.distribute.strategy import (
    STRATEGIES,
    check_batch_size,
    is_chief,
    lost_worker_is_error,
    make_strategy,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.models.multiscale import with_branches
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.checkpoints import save_model
from deeplab_tf.training.depth_validation import DepthValidation
from deeplab_tf.training.freezing import learns_bn, synchronize_bn
from deeplab_tf.training.interrupts import Stopped, StopSignals
from deeplab_tf.training.joint_crf import CRFTraining, crf_rules
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.validation import HeadsValidation, Validation


def define_flags(values):
    """Define the flags of a training run, in the order in which --help shows them."""
    define_data_flags(values, remembered_by="--model_dir")
    define_check_flags(values)
    define_batch_flags(values)
    define_architecture_flags(values)
    define_start_flags(values)
    define_objective_flags(values)
    define_optimizer_flags(values)
    define_loop_flags(values)
    define_testing_flags(values)
    define_joint_crf_flags(values)
    define_crf_flags(values)
    define = heading(values, "Machine")
    define.integer(
        "seed",
        0,
        "Seed of the initial weights, the order of the images, the augmentation and dropout.",
    )
    define.bool("deterministic", False, "Use only operations with bit-identical results; slower.")
    define.enum(
        "strategy",
        "none",
        list(STRATEGIES),
        "none: one device. mirrored: all GPUs of this machine. multi_worker: several machines, as "
        "the environment variable TF_CONFIG lists them; see docs/distributed.md.",
    )
    define.integer("num_threads", 0, "Number of CPU threads; 0: all.", lower_bound=0)


def recall(flags):
    """The flags that the run in --model_dir remembers, see `recall_training`."""
    return recall_training(flags, define_flags)


def main(flags):
    """Train as the flags say; SIGTERM and Ctrl-C end it with status 0."""
    with StopSignals() as stop:
        try:
            with stop.interruptible():
                # The launcher blocks SIGTERM while TensorFlow is imported. A signal that arrived
                # meanwhile is delivered here, where it is handled.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
                trainer = set_up(flags)
        except Stopped:
            print(
                f"stopped by {stop.requested} before the first step: nothing to save yet; run the "
                "same command to start again"
            )
            return
        trainer.run(stop)
        if trainer.is_chief:
            print_results(flags, stop.requested)


def print_results(flags, stopped):
    """Print which files there are, and the next command; `stopped`: whether a signal came."""
    folder = Path(flags.model_dir)
    if stopped:
        print_next("train", f"--model_dir={folder}")
        return
    names = "best.keras", "last.keras", "labels.json", RUN_FILE, "best_crf.json", "last_crf.json"
    print_written(*(folder / name for name in names if (folder / name).is_file()))
    print(f"curves and pictures: tensorboard --logdir={shlex.quote(str(folder))}")
    crf = ["--crf", f"--crf_params={folder / 'best_crf.json'}"] if flags.crf_train else []
    try:
        (open_depth if learns_depth(flags) else open_split)(flags, flags.val_split)
    except InputError:  # no images to score: label some to look at instead
        results = f"--out_dir={folder / 'predictions'}"
        print_next("predict", f"--model={folder}", *crf, results, "IMAGE")
    else:
        print_next("evaluate", f"--model={folder}", *crf)


def set_up(flags):
    """Do everything that comes before the first step; returns the `Trainer`."""
    check_joint_crf_flags(flags)
    check_heads_flags(flags)
    check_start_flags(flags)
    if learns_depth(flags):
        check_depth_flags(flags)
    if flags.test_scales is not None:
        read_scales(flags, "test_scales")  # a mistake would only be found after the training
    keep_freed_memory()
    keras.utils.set_random_seed(flags.seed)
    if flags.num_threads:  # tests leave it out: TensorFlow refuses it once it is in use
        tf.config.threading.set_intra_op_parallelism_threads(flags.num_threads)
    if flags.deterministic:
        tf.config.experimental.enable_op_determinism()
    settings = replace(loop_settings(flags), description=description(flags))
    strategy = make_strategy(flags.strategy, versions={"DeepLab": __version__})
    with lost_worker_is_error(strategy):  # another worker may fail while the networks are built
        check_batch_size(strategy, settings.batch_size, settings.accumulate)
        return make_trainer(flags, settings, strategy)


def description(flags):
    """The command and the values of all flags, as Markdown for TensorBoard."""
    lines = [
        f"    {command_line('train', *given_flags(flags))}",
        "",
        "| flag | value |",
        "|---|---|",
    ]
    for group in flags.flags_by_module_dict().values():
        for flag in group:
            # A bar would end the cell of the table.
            value = ",".join(map(str, flag.value)) if isinstance(flag.value, list) else flag.value
            if value not in (None, ""):
                lines.append(f"| {flag.name} | {str(value).replace('|', '&#124;')} |")
    return "\n".join(lines)


def make_trainer(flags, settings, strategy):
    """Open the data and build everything that is trained."""
    splits, label_set, encoding = open_splits(flags)
    check_agreement(strategy, lambda: run_facts(flags, splits, label_set))
    check_same_data(flags, splits, label_set)
    of_depth = learns_depth(flags)
    num_classes = 1 if of_depth else label_set.num_classes
    run = Run.of_training(flags, describe_network(flags, num_classes), splits, label_set)
    validation, save = None, save_model
    if flags.eval_images:
        examples = splits[flags.val_split]
        if of_depth:
            validation = DepthValidation(examples, flags.eval_images)
        else:
            kind = HeadsValidation if flags.heads else Validation
            validation = kind(examples, label_set, flags.eval_images, encoding=encoding)
        settings = replace(settings, score_name=score_name(flags, len(examples)))
    examples, scales = splits[flags.train_split], read_scales(flags)
    of_weights = examples, label_set, encoding, is_chief(strategy)
    objective = choose_objective(flags, output_stride(flags), scales, *of_weights)
    if flags.crf_train:
        joint = CRFTraining(given_params(flags, num_classes).iterations, validation)
        validation, save = validation and joint, joint.save
    model, kept = build(flags, label_set.names, strategy)
    if len(scales) > 1 and flags.objective == "pixels" and not flags.crf_train:
        model = with_branches(model)
    batches = batches_from(flags, examples, num_classes, encoding, worker(strategy), model)
    with strategy.scope():
        optimizer = make_optimizer(flags, crf_rules(flags.crf_rate))

    def save_with_labels(model, path):
        if not of_depth:
            label_set.save(path.with_name("labels.json"))
        save(model, path)

    return Trainer(
        model,
        optimizer,
        objective,
        batches,
        settings,
        validate=validation and validation.score,
        float32_model=kept,
        save=save_with_labels,
        begin=lambda: run.save(flags.model_dir),
        strategy=strategy,
    )


def score_name(flags, count):
    """What the score of a validation is, for messages; `count`: how many images are listed."""
    what = "mean IoU after the CRF" if flags.crf_train else "mean IoU"
    what = "delta < 1.25" if learns_depth(flags) else what
    what += f", mean of {len(flags.heads)} heads" if flags.heads else ""
    return f"{what} on {min(flags.eval_images, count)} of the {count} images of {flags.val_split}"


def open_splits(flags):
    """Open the lists to train and to validate on, and check them together.

    Returns:
      (dict from the name of each list to its examples, `LabelSet`, `LabelEncoding` or None).
    """
    names = [flags.train_split, *([flags.val_split] if flags.eval_images else [])]
    splits, label_set, encoding = open_checked(flags, names)
    if flags.tile_size:
        check_tile_sizes(splits[flags.train_split], tile_size(flags), flags.tile_overlap)
    return splits, label_set, encoding


def build(flags, names, strategy):
    """Build the model to train, and the float32 model that is saved.

    Under a strategy the saved one is an ordinary model on one device. The one to train is built
    first, so that its initial weights are those of a training run without a strategy.
    """

    num_classes = len(names)
    resumes = has_checkpoint(flags.model_dir)  # its weights replace those to start from

    def build_model():
        network = build_network(flags, num_classes, read_weights=not resumes)
        return with_trained_crf(flags, network, num_classes) if flags.crf_train else network

    with strategy.scope():
        model, kept = build_with_precision(build_model, flags.precision)
    if strategy is not tf.distribute.get_strategy():
        _, kept = build_with_precision(build_model, "float32")
    start(flags, model, names, copy=not resumes)
    if strategy.num_replicas_in_sync > 1 and learns_bn(model):
        if flags.accumulate > 1:
            raise InputError(
                "--accumulate cannot be used while batch normalization is trained on several "
                "devices; give --freeze_bn or --accumulate=1"
            )
        synchronize_bn(model)
        if is_chief(strategy):
            print(
                "batch normalization uses the whole batch on all "
                f"{strategy.num_replicas_in_sync} devices"
            )
    return model, kept
