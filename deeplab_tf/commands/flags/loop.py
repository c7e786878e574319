"""The flags that control how long training runs, and how often it saves and validates."""

from pathlib import Path

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.models.precision import PRECISIONS
from deeplab_tf.training.settings import LoopSettings


def define_loop_flags(values):
    """Define the flags of the training loop."""
    define = heading(values, "Training")
    define.string(
        "model_dir", None, "Folder for models, checkpoints and TensorBoard curves.", required=True
    )
    define.integer(
        "steps",
        20_000,
        "Total number of steps; 0 saves the network as it starts. Paper: 20000.",
        lower_bound=0,
    )
    define.integer(
        "accumulate",
        1,
        "Split a batch into this many equal parts and add up their gradients, to save memory; "
        "paper (ResNet-101): 10.",
        lower_bound=1,
    )
    define.float(
        "clip_norm",
        0.0,
        "Scale the gradients of a step down to this norm, over all variables together; 0: never. "
        "Paper: 0.",
        lower_bound=0,
    )
    define.enum(
        "precision",
        "float32",
        PRECISIONS,
        "Number format that the network computes in; saved models are float32. mixed_float16, for "
        "GPUs without bfloat16, scales the loss and skips steps that overflow.",
    )
    define.bool("xla", False, "Compile the training step with XLA; not with --crf_train.")
    define = heading(values, "Checkpoints, validation and curves")
    define.integer("checkpoint_every", 500, "Steps between checkpoints.", lower_bound=1)
    define.integer(
        "keep",
        3,
        "Number of checkpoints to keep. If the newest is damaged, training resumes from the one "
        "before.",
        lower_bound=1,
    )
    define.string("val_split", "val", "List of the images to validate on.")
    define.integer("eval_every", 500, "Steps between validations.", lower_bound=1)
    define.integer(
        "eval_images", 100, "Images scored in a validation; 0: no validation.", lower_bound=0
    )
    define.integer("log_every", 20, "Steps between points of the curves.", lower_bound=1)


def loop_settings(flags):
    """Gather the `LoopSettings` of the flags."""
    return LoopSettings(
        model_dir=Path(flags.model_dir),
        steps=flags.steps,
        batch_size=flags.batch_size,
        accumulate=flags.accumulate,
        checkpoint_every=flags.checkpoint_every,
        eval_every=flags.eval_every,
        log_every=flags.log_every,
        keep=flags.keep,
        clip_norm=flags.clip_norm,
        scale_loss=flags.precision == "mixed_float16",
        training_mode=not flags.crf_only,
        xla=flags.xla,
    )
