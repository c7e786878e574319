"""The training loop: steps, checkpoints, validation, and going on where it was killed."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab_tf.data.pipeline import input_error_from
from deeplab_tf.errors import InputError
from deeplab_tf.training.checkpoints import Checkpoints, copy_weights, save_model
from deeplab_tf.training.objectives import ScoreMapObjective
from deeplab_tf.training.progress import Progress
from deeplab_tf.training.step import TrainStep
from deeplab_tf.training.summaries import Summaries


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

    def __post_init__(self):
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise InputError(
                f"a batch of {self.batch_size} cannot be gone through in {self.accumulate} equal "
                "parts; give a divisor of the batch size"
            )


class Trainer:
    """Trains a segmentation network; made again with the same arguments, it goes on.

    Args:
      model: Keras model from RGB images `(B, H, W, 3)` to what the objective takes.
      optimizer: Keras optimizer, not yet built.
      make_batches: function from the number of batches to skip to an endless
        `tf.data.Dataset` of dicts with "image", "label" and "name".
      settings: `LoopSettings`.
      objective: what is minimised, see `deeplab_tf.training.objectives`; None: the published
        cross-entropy of scores `(B, h, w, C)` at the settings' output stride.
      validate: function from a model to its score, where more is better, or None.
      draw: function from a model to a list of `(H, W, 3)` uint8 pictures, or None.
      float32_model: the model that is scored and saved after copying the weights into it;
        None where `model` itself is kept.
      training_mode: whether the model is called as in training, with dropout and with the
        batch's statistics; False suits a frozen network of which the last layers learn.
      save: function from a model and the path of a `.keras` file that writes them, and what
        else belongs beside them first.
      strategy: `tf.distribute.Strategy` the model was built under; None for the current one.

    Example:
      >>> Trainer(model, LayerwiseSGD(1e-3), make_batches, LoopSettings("m", 6000, 10)).run()
    """

    def __init__(
        self,
        model,
        optimizer,
        make_batches,
        settings,
        *,
        objective=None,
        validate=None,
        draw=None,
        float32_model=None,
        training_mode=True,
        save=save_model,
        strategy=None,
    ):
        self.settings = settings
        self._model, self._optimizer = model, optimizer
        self._make_batches = make_batches
        self._validate, self._draw, self._save_model = validate, draw, save
        self._kept_model = model if float32_model is None else float32_model
        self._strategy = strategy or tf.distribute.get_strategy()
        self._dir = Path(settings.model_dir)
        with self._strategy.scope():
            optimizer.build(model.trainable_variables)
            self._step = TrainStep(
                model,
                optimizer,
                objective or ScoreMapObjective(settings.output_stride),
                self._strategy,
                training_mode=training_mode,
                accumulate=settings.accumulate,
            )
            self._checkpoints = Checkpoints(
                self._dir / "checkpoints", model, optimizer, settings.keep
            )

    def run(self):
        """Train up to the last step, from the newest checkpoint where there is one.

        Raises:
          InputError: the loss is not finite, the data cannot be read, the memory is short, or
            the checkpoint found does not fit.
        """
        start = self._checkpoints.restore()
        if start >= self.settings.steps:
            self._finish_again(start)
            return
        if start:
            print(f"continuing from step {start} of {self.settings.steps}", flush=True)
        self._train_from(start)
        score = self._checkpoints.best_score
        best = f", best validation score {score:.4f}" if np.isfinite(score) else ""
        print(f"{self.settings.steps} steps done{best}: {self._dir / 'last.keras'}", flush=True)

    def _finish_again(self, start):
        print(f"training is complete: {start} of {self.settings.steps} steps", flush=True)
        if not (self._dir / "last.keras").exists():
            self._save("last")

    def _train_from(self, start):
        settings = self.settings
        batches = iter(self._strategy.experimental_distribute_dataset(self._make_batches(start)))
        # Data at fault is found before anything is written.
        first, losses = next_batch(batches), []
        self._dir.mkdir(parents=True, exist_ok=True)
        with (
            Progress(start, settings.steps, settings.batch_size) as progress,
            Summaries(self._dir / "train", start) as summaries,
        ):
            for step in range(start + 1, settings.steps + 1):
                batch = next_batch(batches) if step > start + 1 else first
                loss, learning_rate = self._checked_step(step, batch)
                progress.update(loss)
                losses.append(loss)
                if self._is_due(step, settings.log_every):
                    curves = {
                        "loss": np.mean(losses),
                        "learning_rate": learning_rate,
                        "images_per_second": progress.images_per_second,
                    }
                    summaries.scalars(step, curves)
                    losses.clear()
                self._keep(step, progress, summaries)

    def _is_due(self, step, every):
        return step % every == 0 or step == self.settings.steps

    def _keep(self, step, progress, summaries):
        """Validate and save where it is time; a checkpoint comes after all it stands for."""
        if self._validate and self._is_due(step, self.settings.eval_every):
            self._score(step, progress, summaries)
        if self._is_due(step, self.settings.checkpoint_every):
            self._save("last")
            self._checkpoints.save(step)
        progress.resume()

    def _score(self, step, progress, summaries):
        self._update_kept_model()
        score = self._validate(self._kept_model)
        summaries.scalars(step, {"validation_score": score})
        if self._draw:
            summaries.pictures(step, "validation", self._draw(self._kept_model))
        best = score > self._checkpoints.best_score
        if best:
            self._checkpoints.best_score = score
            self._save("best")
        mark = " (best so far)" if best else ""
        progress.say(f"step {step}: validation score {score:.4f}{mark}")

    def _update_kept_model(self):
        if self._kept_model is not self._model:
            copy_weights(self._model, self._kept_model)

    def _save(self, name):
        self._update_kept_model()
        self._save_model(self._kept_model, self._dir / f"{name}.keras")

    def _checked_step(self, step, batch):
        """Make one step and give its loss and learning rate, if it can be made."""
        try:
            loss, learning_rate = self._step(batch["image"], batch["label"])
            loss = float(loss)
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f"out of memory at step {step}: lower --batch_size or --crop_size"
            ) from error
        except tf.errors.InvalidArgumentError as error:
            # A check inside the graph, such as the CRF's of what the network gives it.
            found = re.search(r"assertion failed: \[(.*?)\]", str(error), re.DOTALL)
            if not found:
                raise
            raise self._not_usable(found[1], step, batch) from error
        if not np.isfinite(loss):
            raise self._not_usable(f"the loss is {loss}", step, batch)
        return loss, float(learning_rate)

    def _not_usable(self, what, step, batch):
        names = ", ".join(self._names(batch))
        return InputError(
            f"{what} at step {step}, images {names}: lower --learning_rate, or look at these "
            "images and their labels"
        )

    def _names(self, batch):
        parts = self._strategy.experimental_local_results(batch["name"])
        return [name.decode() for part in parts for name in part.numpy()]


def next_batch(batches):
    """Take the next batch of an iterator over `deeplab_tf.data.pipeline.training_batches`.

    Raises:
      InputError: an example cannot be used; the message names its file.
    """
    try:
        return next(batches)
    except tf.errors.OpError as error:
        raise input_error_from(error) from None
