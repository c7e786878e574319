"""What best.keras was at each step that a training may go back to."""

import contextlib
import os
import shutil
from pathlib import Path

from deeplab_tf.files import new_folder


class BestModels:
    """Keeps every best model for as long as a checkpoint is kept that may need it again.

    A training that goes back to a checkpoint has its best model of then, not one from steps that
    it makes again, perhaps otherwise. Models are kept in the folders best-STEP beside the
    checkpoints, as hard links: while it is the best, a model takes no room of its own.

    Args:
      model_dir: `pathlib.Path` of the folder with best.keras and what belongs to it, best_*.
      folder: where the folders best-STEP are made.
    """

    def __init__(self, model_dir, folder):
        self._model_dir, self._folder = Path(model_dir), Path(folder)

    def add(self, step):
        """Keep what has become the best model after `step` steps."""
        with new_folder(self._folder / f"best-{step}", overwrite=True) as kept:
            for path in (*self._model_dir.glob("best.*"), *self._model_dir.glob("best_*")):
                _link(path, kept / path.name)

    def go_back(self, step):
        """Make the best model that of `step` steps, where it is known, and forget later ones."""
        steps = self._steps()
        for later in (s for s in steps if s > step):
            shutil.rmtree(self._path(later))
        best = max((s for s in steps if s <= step), default=None)
        if best is not None:
            for path in self._path(best).iterdir():
                partial = self._model_dir / f".{path.name}.partial"
                partial.unlink(missing_ok=True)
                _link(path, partial)
                partial.replace(self._model_dir / path.name)
                partial.unlink(missing_ok=True)  # two names of one file: nothing was renamed

    def forget_before(self, step):
        """Delete what no checkpoint of `step` steps or more needs."""
        for earlier in [s for s in self._steps() if s <= step][:-1]:
            shutil.rmtree(self._path(earlier))

    def _path(self, step):
        return self._folder / f"best-{step}"

    def _steps(self):
        names = (path.name.removeprefix("best-") for path in self._folder.glob("best-*"))
        return sorted(int(name) for name in names if name.isdigit())


def _link(path, target):
    with contextlib.suppress(OSError):  # a file system without hard links
        os.link(path, target)
        return
    shutil.copyfile(path, target)
