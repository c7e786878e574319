"""The training loop: steps, checkpoints, validation, and going on where it was killed."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab_tf.data.pipeline import input_error_from
from deeplab_tf.distribute.strategy import (
    check_share,
    copy_from_chief,
    distribute,
    lost_worker_is_error,
    sum_over_workers,
    wait_for_workers,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.training.best_models import BestModels
from deeplab_tf.training.checkpoints import Checkpoints, copy_weights, save_model
from deeplab_tf.training.guards import Guards
from deeplab_tf.training.interrupts import Stopped, StopSignals
from deeplab_tf.training.loss_scale import LossScale
from deeplab_tf.training.objectives import ScoreMapObjective
from deeplab_tf.training.progress import Progress
from deeplab_tf.training.run_lock import RunLock
from deeplab_tf.training.step import TrainStep
from deeplab_tf.training.summaries import Summaries


class Trainer:
    """Trains a segmentation network; made again with the same arguments, it goes on.

    Args:
      model: Keras model from RGB images `(B, H, W, 3)` to what the objective takes.
      optimizer: Keras optimizer, not yet built.
      make_batches: function from the number of batches to skip to an endless
        `tf.data.Dataset` of dicts with "image", "label" and "name": this worker's rows of the
        batches.
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
      strategy: `tf.distribute.Strategy` the model and the optimizer were made under; None for
        the current one. Of several workers the chief alone validates, writes and prints.

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
        if settings.xla and self._strategy.num_replicas_in_sync > 1:
            raise InputError("--xla compiles the step of one device, not of several: leave it out")
        check_share(self._strategy, settings.batch_size, settings.accumulate)
        index, count = worker(self._strategy)
        self._is_chief, self._is_alone = index == 0, count == 1
        if not self._is_chief:  # what others write is nobody's, and they have no score
            self._nobodys = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._validate = self._draw = None
        self._dir = Path(settings.model_dir if self._is_chief else self._nobodys.name)
        with self._strategy.scope():
            optimizer.build(model.trainable_variables)
            loss_scale = LossScale() if settings.scale_loss else None
            self._step = TrainStep(
                model,
                optimizer,
                objective or ScoreMapObjective(settings.output_stride),
                self._strategy,
                training_mode=training_mode,
                accumulate=settings.accumulate,
                clip_norm=settings.clip_norm,
                loss_scale=loss_scale,
                xla=settings.xla,
            )
            self._checkpoints = Checkpoints(
                self._dir / "checkpoints",
                model,
                optimizer,
                settings.keep,
                loss_scale.variables if loss_scale else (),
            )
        self._guards = Guards(self._strategy, self._checkpoints, loss_scale)
        self._best_models = BestModels(self._dir, self._dir / "checkpoints")
        self._saved_step, self._batch = 0, None

    def run(self, stop=None):
        """Train up to the last step, from the newest checkpoint where there is one.

        SIGTERM or SIGINT ends the training after the current step, with a checkpoint: `run`
        then returns before the last step, and says so.

        Args:
          stop: `StopSignals` that are listened to already; None where nobody does.

        Raises:
          InputError: the loss is not finite, the data cannot be read, the memory or the disk is
            short, another training runs in the folder, the checkpoint found does not fit, or
            another worker has ended.
        """
        with (
            lost_worker_is_error(self._strategy),
            RunLock(self._dir) as lock,
            contextlib.nullcontext(stop) if stop else StopSignals() as stop,
        ):
            lock.acquire(create=False)
            self._saved_step = self._restore()
            try:
                self._run_from(self._saved_step, lock, stop)
            except Stopped:
                self._stop(stop.requested)
            wait_for_workers(self._strategy)  # none ends before the last file is written

    def _restore(self):
        """Restore the chief's newest checkpoint on every worker; the step it was saved after."""
        self._checkpoints.restore()  # others have none
        copy_from_chief(self._strategy, self._checkpoints.variables)
        state = self._checkpoints.state
        state.step = int(sum_over_workers(self._strategy, np.int64(state.step)))
        return state.step

    def _say(self, text):
        if self._is_chief:
            print(text, flush=True)

    def _run_from(self, start, lock, stop):
        state, steps = self._checkpoints.state, self.settings.steps
        if start >= steps and not self._is_unscored():
            self._say(f"training is complete: {start} of {steps} steps")
            if not (self._dir / "last.keras").exists():
                self._save("last")
            return
        if start:
            self._say(f"continuing from step {start} of {steps}")
        self._train_from(start, lock, stop)
        score = state.best_score
        best = f", best validation score {score:.4f}" if np.isfinite(score) else ""
        self._say(f"{steps} steps done{best}: {self._dir / 'last.keras'}")

    def _stop(self, signal_name):
        """Save what has been trained, and say how far that is."""
        step = self._checkpoints.state.step
        if step > self._saved_step:
            self._check_weights()
            self._save_checkpoint()
            self._save("last")
        newest = self._checkpoints.newest
        saved = f"checkpoint {newest[1]}" if newest else "nothing to save yet"
        self._say(
            f"stopped by {signal_name} after step {step} of {self.settings.steps}: {saved}; "
            "the same command goes on from there"
        )

    def _train_from(self, start, lock, stop):
        settings, state = self.settings, self._checkpoints.state
        batches = distribute(self._strategy, self._make_batches(start))
        # Data at fault is found before anything is written.
        first = self._next_batch(batches, stop) if start < settings.steps else None
        self._dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        self._go_back(start)
        again = "validation" if self._is_unscored() else None  # stopped while it was being scored
        with self._guards.writing():
            summaries = Summaries(self._dir / "train", start, again)
        progress = Progress(start, settings.steps, settings.batch_size, self._is_chief)
        with progress, summaries:
            if again:
                self._score(progress, summaries, stop)
                self._save_checkpoint()
            for step in range(start + 1, settings.steps + 1):
                batch = self._next_batch(batches, stop) if step > start + 1 else first
                # The first step is also the graph's making, which may take long.
                with stop.interruptible(self._is_alone and batch is first):
                    loss, rate = self._guards.checked_step(self._step, step, batch)
                state.step, self._batch = step, batch
                progress.update(loss)
                self._log(loss, rate, progress, summaries)
                self._keep(progress, summaries, stop)
                self._stop_together(stop)

    def _stop_together(self, stop):
        """Raise `Stopped` on all workers if a signal has come to one of them."""
        # What is asked for after the sum is heard of by none before the next step.
        if sum_over_workers(self._strategy, np.int32(bool(stop.requested))):
            stop.requested = stop.requested or "a signal to another worker"
            raise Stopped

    def _next_batch(self, batches, stop):
        try:
            with stop.interruptible(self._is_alone):
                return next_batch(batches)
        except InputError:
            if self._checkpoints.state.step > self._saved_step:
                self._check_weights()
                self._save_checkpoint()
            raise

    def _go_back(self, start):
        """Make the models those of the checkpoint; a killed training may have left later ones."""
        if start:
            self._save("last")
        with self._guards.writing():
            self._best_models.go_back(start)

    def _is_due(self, step, every):
        return step % every == 0 or step == self.settings.steps

    def _is_unscored(self):
        state = self._checkpoints.state
        due = state.step and self._is_due(state.step, self.settings.eval_every)
        return bool(self._validate and due and state.scored_step < state.step)

    def _log(self, loss, learning_rate, progress, summaries):
        state = self._checkpoints.state
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
        if self._is_due(state.step, self.settings.log_every):
            curves = {
                "loss": state.loss_sum / state.loss_count,
                "learning_rate": learning_rate,
                "images_per_second": progress.images_per_second,
            }
            with self._guards.writing():
                summaries.scalars(state.step, curves)
            state.loss_sum, state.loss_count = 0.0, 0

    def _keep(self, progress, summaries, stop):
        """Validate and save where it is time; a checkpoint comes after all it stands for."""
        unsaved = self._is_due(self._checkpoints.state.step, self.settings.checkpoint_every)
        if unsaved or self._is_unscored():
            self._check_weights()
        if self._is_unscored():
            self._score(progress, summaries, stop)
        if unsaved:
            self._save("last")
            self._save_checkpoint()
        progress.resume()

    def _check_weights(self):
        variables = [*self._model.variables, *self._optimizer.variables]
        self._guards.check_variables(variables, self._checkpoints.state.step, self._batch)

    def _score(self, progress, summaries, stop):
        state = self._checkpoints.state
        self._update_kept_model()
        with stop.interruptible(self._is_alone):
            score = self._validate(self._kept_model)
            pictures = self._draw(self._kept_model) if self._draw else []
        best = np.float32(score) > state.best_score
        with self._guards.writing():
            summaries.scalars(state.step, {"validation_score": score})
            if pictures:
                summaries.pictures(state.step, "validation", pictures)
            if best:
                state.best_score = float(np.float32(score))
                self._save("best")
                self._best_models.add(state.step)
        state.scored_step = state.step
        mark = " (best so far)" if best else ""
        progress.say(f"step {state.step}: validation score {score:.4f}{mark}")

    def _update_kept_model(self):
        if self._kept_model is not self._model:
            copy_weights(self._model, self._kept_model)

    def _save(self, name):
        if not self._is_chief:
            return
        self._update_kept_model()
        with self._guards.writing():
            self._save_model(self._kept_model, self._dir / f"{name}.keras")

    def _save_checkpoint(self):
        if not self._is_chief:
            return
        with self._guards.writing():
            self._checkpoints.save()
            self._saved_step = self._checkpoints.state.step
            self._best_models.forget_before(self._checkpoints.oldest_step)


def next_batch(batches):
    """Take the next batch of an iterator over `deeplab_tf.data.pipeline.training_batches`.

    Raises:
      InputError: an example cannot be used; the message names its file.
    """
    try:
        return next(batches)
    except tf.errors.OpError as error:
        raise input_error_from(error) from None
