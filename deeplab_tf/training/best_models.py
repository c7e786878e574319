"""One copy of best.keras per checkpoint, for resuming."""

import contextlib
import os
import shutil
from pathlib import Path

from deeplab_tf.files import new_folder, whole_file


class BestModels:
    """Keeps every best model for as long as a checkpoint may need it again.

    When training resumes from a checkpoint, it also gets back the best model of that time, not one
    of later steps, which will be repeated. The copies are folders best-STEP next to the
    checkpoints. They consist of hard links, so the current best model takes no extra space.

    Args:
      model_dir: folder with best.keras and the files that belong to it, best_*.
      folder: where the folders best-STEP are made.
    """

    def __init__(self, model_dir, folder):
        self._model_dir, self._folder = Path(model_dir), Path(folder)

    def add(self, step):
        """Keep a copy of the current best model, which was saved after `step` steps."""
        with new_folder(self._folder / f"best-{step}", overwrite=True) as kept:
            for path in (*self._model_dir.glob("best.*"), *self._model_dir.glob("best_*")):
                _link(path, kept / path.name)

    def go_back(self, step):
        """Restore the model that was best after `step` steps, if any, and delete later ones."""
        steps = self._steps()
        for later in (s for s in steps if s > step):
            shutil.rmtree(self._path(later))
        best = max((s for s in steps if s <= step), default=None)
        if best is not None:
            for path in self._path(best).iterdir():
                with whole_file(self._model_dir / path.name) as partial:
                    _link(path, partial)

    def forget_before(self, step):
        """Delete the copies that no checkpoint of step `step` or later needs."""
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
