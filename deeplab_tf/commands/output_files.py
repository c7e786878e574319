"""Files that a tool writes at its end: what stands in their way is found at its start."""

from pathlib import Path

from deeplab_tf.errors import InputError


def check_output_files(*paths):
    """Make the folders of files to write, so that what cannot be written fails before the work.

    Args:
      *paths: of the files; those that are None or "" are not asked for.

    Raises:
      InputError: where a path is a folder.
      OSError: where its folder cannot be made.
    """
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
