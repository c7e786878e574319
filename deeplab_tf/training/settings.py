"""How long a training runs, and how often it does what."""

from dataclasses import dataclass
from pathlib import Path

from deeplab_tf.errors import InputError


@dataclass(frozen=True)
class LoopSettings:
    """How long a training runs, and how often it does what.

    Attributes:
      model_dir: folder that receives best.keras, last.keras, checkpoints/ and train/.
      steps: number of updates in all, those of an interrupted run included.
      batch_size: images a step.
      output_stride: pixels between two cells of the model's score map.
      checkpoint_every: steps between two checkpoints; one is also made at the end.
      eval_every: steps between two validations; one is also made at the end.
      log_every: steps between two points of the TensorBoard curves.
      keep: number of checkpoints kept.
      accumulate: parts that a batch is gone through in, their gradients added up; for batches
        that memory does not hold at once.
      clip_norm: largest norm of all gradients of a batch together; 0: any.
      scale_loss: whether the loss is scaled, for a model that computes in float16.
      xla: whether XLA compiles the step.
    """

    model_dir: Path
    steps: int
    batch_size: int
    output_stride: int = 8
    checkpoint_every: int = 500
    eval_every: int = 500
    log_every: int = 20
    keep: int = 3
    accumulate: int = 1
    clip_norm: float = 0.0
    scale_loss: bool = False
    xla: bool = False

    def __post_init__(self):
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise InputError(
                f"a batch of {self.batch_size} cannot be gone through in {self.accumulate} equal "
                "parts; give a divisor of the batch size"
            )
