"""The training loop: steps, checkpoints, validation, and resuming after an interruption."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab_tf.data.pipeline import input_error_from
from deeplab_tf.distribute.strategy import (
    check_batch_size,
    copy_from_chief,
    distribute,
    lost_worker_is_error,
    sum_over_workers,
    wait_for_workers,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder
from deeplab_tf.training.checkpoints import Checkpoints, save_model
from deeplab_tf.training.guards import Guards
from deeplab_tf.training.interrupts import Stopped, StopSignals
from deeplab_tf.training.loss_scale import LossScale
from deeplab_tf.training.results import result_text
from deeplab_tf.training.saved_files import SavedFiles
from deeplab_tf.training.step import TrainStep
from deeplab_tf.training.summaries import Progress, Summaries
from deeplab_tf.training.validation import Validated


class Trainer:
    """Trains a segmentation network; a new one with the same arguments resumes the training.

    Args:
      model: Keras model from RGB images `(B, H, W, 3)` to the scores or probabilities that the
        objective takes.
      optimizer: Keras optimizer, not yet built.
      objective: what is minimized, see `deeplab_tf.training.losses`.
      make_batches: function from the number of batches to skip to an endless
        `tf.data.Dataset` of dicts with "image", "label" and "name": this worker's rows of the
        batches.
      settings: `deeplab_tf.training.settings.LoopSettings`.
      validate: function from a model to a `Validated`, or a plain tuple of its fields; None: no
        validation.
      float32_model: the model that is validated and saved, after copying the weights into it;
        None: `model` itself.
      save: function that writes a model to the path of a `.keras` file; files that belong to it
        must be written first.
      begin: function that is called before the first step, once data can be read; None: nothing.
      strategy: `tf.distribute.Strategy` that the model and the optimizer were made under; None:
        the current one. Of several workers only the chief validates, writes and prints.

    Raises:
      InputError: the batch size does not fit the devices, or XLA is requested on several.

    Example:
      >>> settings = LoopSettings("runs/demo", steps=6000, batch_size=10)
      >>> Trainer(model, LayerwiseSGD(1e-3), ScoreMapObjective(), make_batches, settings).run()
    """

    def __init__(
        self,
        model,
        optimizer,
        objective,
        make_batches,
        settings,
        *,
        validate=None,
        float32_model=None,
        save=save_model,
        begin=None,
        strategy=None,
    ):
        self.settings = settings
        self._strategy = strategy = strategy or tf.distribute.get_strategy()
        check_batch_size(strategy, settings.batch_size, settings.accumulate)
        if settings.xla and strategy.num_replicas_in_sync > 1:
            raise InputError("--xla works on one device only: leave it out")
        self._model, self._optimizer, self._make_batches = model, optimizer, make_batches
        self._validate = validate
        index, count = worker(strategy)
        self.is_chief, self._is_alone = index == 0, count == 1
        self._dir = Path(settings.model_dir)
        if not self.is_chief:  # its files are discarded, and it does not validate
            self._discarded = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._dir, self._validate = Path(self._discarded.name), None
        with strategy.scope():
            optimizer.build(model.trainable_variables)
            loss_scale = LossScale() if settings.scale_loss else None
            self._step = TrainStep(
                model,
                optimizer,
                objective,
                strategy,
                training_mode=settings.training_mode,
                accumulate=settings.accumulate,
                clip_norm=settings.clip_norm,
                loss_scale=loss_scale,
                xla=settings.xla,
            )
            scale_variables = loss_scale.variables if loss_scale else ()
            self._checkpoints = Checkpoints(
                self._dir / "checkpoints", model, optimizer, settings.keep, scale_variables
            )
        self._guards = Guards(self._checkpoints, loss_scale)
        kept_model = model if float32_model is None else float32_model
        own = self._checkpoints, self._guards, self.is_chief
        self._files = SavedFiles(self._dir, model, kept_model, save, begin, *own)
        self._batch = None

    def run(self, stop=None):
        """Train up to the last step, from the newest checkpoint if there is one.

        SIGTERM or SIGINT ends the training after the current step, with a checkpoint and a
        message: `run` then returns before the last step.

        Args:
          stop: `StopSignals` that already receive the signals; None: `run` makes its own.

        Raises:
          InputError: the loss is NaN or infinite, the data cannot be read, memory or disk are
            full, another run uses the folder, the checkpoint does not fit, or another worker
            has ended.
        """
        with (
            lost_worker_is_error(self._strategy),
            lock_folder(
                self._dir / "checkpoints",
                "another training run",
                "wait until it ends or stop it, or use another --model_dir",
            ),
            contextlib.nullcontext(stop) if stop else StopSignals() as self._stop,
        ):
            self._files.saved_step = start = self._restore()
            try:
                if start < self.settings.steps or self._is_unfinished():
                    self._train(start)
                else:
                    self._print(f"training is complete: {start} of {self.settings.steps} steps")
                    self._print(result_text(self._checkpoints.state, self.settings))
                    self._files.complete(start)
            except Stopped:
                self._save_stopped()
            wait_for_workers(self._strategy)  # none ends before the last file is written

    def _restore(self):
        """Restore the chief's newest checkpoint on every worker; return its step."""
        self._checkpoints.restore()  # the other workers have none
        copy_from_chief(self._strategy, self._checkpoints.variables)
        state = self._checkpoints.state
        state.step = int(sum_over_workers(self._strategy, np.int64(state.step)))
        return state.step

    def _train(self, start):
        settings = self.settings
        if start:
            self._print(f"continuing from step {start} of {settings.steps}")
        batches = distribute(self._strategy, self._make_batches(start))
        # The first batch is read before anything is written, since the data may be unusable.
        batch = self._next_batch(batches) if start < settings.steps else None
        self._files.begin(start)
        # A checkpoint may have been saved before its step was validated and logged: both are done
        # now, and the step's earlier points are dropped, unless its loss was logged already.
        again = self._is_unscored() and self._checkpoints.state.loss_count > 0
        with self._guards.writing():
            first = start if again else start + 1
            self._summaries = Summaries(self._dir / "train", first, settings.description)
        self._progress = Progress(start, settings.steps, settings.batch_size, self.is_chief)
        with self._progress, self._summaries:
            if self._is_unfinished():
                self._validate_and_log()
                self._files.save_checkpoint()
            for step in range(start + 1, settings.steps + 1):
                is_first = step == start + 1
                batch = batch if is_first else self._next_batch(batches)
                self._make_step(step, batch, is_first)
                self._validate_log_and_save()
                self._stop_together()
        rate = self._progress.mean_images_per_second
        self._print(result_text(self._checkpoints.state, settings, rate))

    def _next_batch(self, batches):
        try:
            with self._stop.interruptible(self._is_alone):
                return next(batches)
        except (InputError, tf.errors.OpError) as caught:
            error = input_error_from(caught)
            unsaved = self._checkpoints.state.step > self._files.saved_step
            if isinstance(error, InputError) and unsaved:
                self._check_weights()
                self._files.save_checkpoint()
            raise error from None

    def _make_step(self, step, batch, is_first):
        # The first step also builds the graph, which may take minutes.
        with (
            self._guards.step(step, batch),
            self._stop.interruptible(self._is_alone and is_first),
        ):
            loss, rate, *finite = self._step(batch["image"], batch["label"])
            loss, rate = float(loss), float(rate)
            self._guards.check_step(step, batch, loss, *finite)
        state, self._batch = self._checkpoints.state, batch
        state.add_step(step, rate, loss)
        self._progress.update(loss)

    def _validate_log_and_save(self):
        """Do what is due after a step; the checkpoint is last, since it marks the rest as done."""
        unsaved = self._is_due(self.settings.checkpoint_every)
        self._checkpoints.state.seconds += self._progress.lap()
        if unsaved or self._is_unscored():
            self._check_weights()
        self._validate_and_log()
        if unsaved:
            self._files.save_last()
            self._files.save_checkpoint()
        self._progress.resume()

    def _validate_and_log(self):
        # The loss is logged last: if the validation is interrupted, it is logged after resuming.
        if self._is_unscored():
            self._score()
        if self._is_unlogged():
            self._log()

    def _is_due(self, every):
        step = self._checkpoints.state.step
        return step > 0 and (step % every == 0 or step == self.settings.steps)

    def _is_unscored(self):
        state = self._checkpoints.state
        due = self._validate and self._is_due(self.settings.eval_every)
        return bool(due and state.scored_step < state.step)

    def _is_unlogged(self):
        return self._is_due(self.settings.log_every) and self._checkpoints.state.loss_count > 0

    def _is_unfinished(self):
        """Whether the validation or the logging of the restored step is still to be done."""
        return self._is_unscored() or self._is_unlogged()

    def _score(self):
        state = self._checkpoints.state
        model = self._files.current_model()
        with self._stop.interruptible(self._is_alone):
            found = Validated(*self._validate(model))
        score, best = found.score, np.float32(found.score) > state.best_score
        with self._guards.writing():
            self._summaries.validation(state.step, found)
            if best:
                state.best_score, state.best_step = float(np.float32(score)), state.step
                self._files.save_best()
        state.scored_step, state.seconds = state.step, state.seconds + self._progress.lap()
        mark = " (best so far)" if best else ""
        self._progress.print(f"step {state.step}: {self.settings.score_name} {score:.4f}{mark}")

    def _log(self):
        state = self._checkpoints.state
        curves = {
            "loss": state.loss_sum / state.loss_count,
            "learning_rate": state.learning_rate,
            "images_per_second": self._progress.images_per_second,
        }
        with self._guards.writing():
            self._summaries.scalars(state.step, curves)
        state.last_loss, state.loss_sum, state.loss_count = curves["loss"], 0.0, 0

    def _stop_together(self):
        """Raise `Stopped` on all workers if one of them received a signal."""
        # A signal that arrives after the reduction is handled at the next step.
        if sum_over_workers(self._strategy, np.int32(bool(self._stop.requested))):
            self._stop.requested = self._stop.requested or "a signal to another worker"
            raise Stopped

    def _save_stopped(self):
        """Save the weights of the current step, and print which step was reached."""
        step = self._checkpoints.state.step
        if step > self._files.saved_step:
            self._check_weights()
            self._files.save_checkpoint()
            self._files.save_last()
        newest = self._checkpoints.newest
        saved = f"checkpoint {newest[1]}" if newest else "nothing to save yet"
        self._print(
            f"stopped by {self._stop.requested} after step {step} of {self.settings.steps}: "
            f"{saved}; the same command continues from there"
        )

    def _check_weights(self):
        variables = [*self._model.variables, *self._optimizer.variables]
        self._guards.check_variables(variables, self._checkpoints.state.step, self._batch)

    def _print(self, text):
        if self.is_chief:
            print(text, flush=True)
