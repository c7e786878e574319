"""The files of a training run: last.keras, best.keras, and the checkpoints."""

import errno

from deeplab_tf.training.best_models import BestModels
from deeplab_tf.training.checkpoints import copy_weights


class SavedFiles:
    """Writes the models and checkpoints of one run; of several workers only the chief does.

    Args:
      folder: Path of the training's folder.
      model: the model that is trained.
      kept_model: the model that is validated and saved, after copying the weights into it; it
        may be `model` itself.
      save: function that writes a model to the path of a `.keras` file.
      begin: function that is called before the first step; None: nothing.
      checkpoints: `deeplab_tf.training.checkpoints.Checkpoints`.
      guards: `deeplab_tf.training.guards.Guards`.
      is_chief: whether this worker writes files.

    Attributes:
      saved_step: the step of the newest checkpoint, or the step that the training resumed from.
    """

    def __init__(self, folder, model, kept_model, save, begin, checkpoints, guards, is_chief):
        self._folder, self._save_model, self._is_chief = folder, save, is_chief
        self._begin = begin
        self._model, self._kept_model = model, kept_model
        self._checkpoints, self._guards = checkpoints, guards
        self._best_models = BestModels(folder, folder / "checkpoints")
        self.saved_step = 0
        self._device = None  # the file system of the folder, once training begins

    @property
    def last_path(self):
        """Path of the newest model."""
        return self._folder / "last.keras"

    def current_model(self):
        """The model that is validated and saved, with the current weights."""
        if self._kept_model is not self._model:
            copy_weights(self._model, self._kept_model)
        return self._kept_model

    def save_last(self):
        """Save the current model as the newest one."""
        self._save(self.last_path)

    def save_best(self):
        """Save the current model as the best one, with a copy for later checkpoints."""
        self._save(self._folder / "best.keras")
        with self._guards.writing():
            self._best_models.add(self._checkpoints.state.step)

    def save_checkpoint(self):
        """Save a checkpoint, and delete the best models that no checkpoint needs any more."""
        if self._is_chief:
            with self._guards.writing():
                self._check_place()
                self._checkpoints.save()
                self.saved_step = self._checkpoints.state.step
                # Only now, because older checkpoints stay if this one cannot be saved.
                self._best_models.forget_before(self._checkpoints.oldest_step)

    def begin(self, step):
        """Prepare the folder for a run that continues from this step.

        The saved models become those of its checkpoint, since a run that was killed may have
        left newer ones.
        """
        if self._is_chief:
            self._device = (self._folder / "checkpoints").stat().st_dev
        if self._begin and self._is_chief:
            with self._guards.writing():
                self._begin()
        if step:
            self.save_last()
        with self._guards.writing():
            self._best_models.go_back(step)

    def complete(self, step):
        """Write the newest model, if it is missing, of a run without a step left to make."""
        if not self.last_path.exists():
            if not step:  # nothing has begun it yet
                self.begin(step)
            self.save_last()

    def _save(self, path):
        if self._is_chief:
            model = self.current_model()
            with self._guards.writing():
                self._check_place()
                self._save_model(model, path)

    def _check_place(self):
        """Raise OSError if the folder was moved, deleted or unmounted since training began.

        Files are written by their paths, which would make it again: elsewhere, and without the
        files before.
        """
        checkpoints = self._folder / "checkpoints"
        if self._device is not None and checkpoints.stat().st_dev != self._device:
            raise FileNotFoundError(errno.ENOENT, "Unmounted while training", str(checkpoints))
