"""The settings of the training loop."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LoopSettings:
    """How long training runs, how often it saves, and how it computes an update.

    Attributes:
      model_dir: folder that receives best.keras, last.keras, checkpoints/ and train/.
      steps: total number of updates, including those before an interruption.
      batch_size: images per step, of all devices together.
      checkpoint_every: steps between two checkpoints; one is also made at the end.
      eval_every: steps between two validations; one is also made at the end.
      log_every: steps between two points of the TensorBoard curves.
      keep: number of checkpoints to keep; older ones are deleted.
      accumulate: number of micro-batches that a batch is split into, whose gradients are added;
        for batches that do not fit into memory.
      clip_norm: upper limit for the norm of all gradients of a batch together; 0: no limit.
      scale_loss: whether the loss is scaled, for a model that computes in float16.
      training_mode: whether the model is called with `training=True`: with dropout, and with the
        batch's statistics in batch normalization; False suits a frozen network whose last layers
        are trained.
      xla: whether XLA compiles the step.
      score_name: what a validation's score is, for messages.
      description: what TensorBoard shows as text, in Markdown, such as all settings; "": nothing.
    """

    model_dir: Path
    steps: int
    batch_size: int
    checkpoint_every: int = 500
    eval_every: int = 500
    log_every: int = 20
    keep: int = 3
    accumulate: int = 1
    clip_norm: float = 0.0
    scale_loss: bool = False
    training_mode: bool = True
    xla: bool = False
    score_name: str = "validation score"
    description: str = ""
