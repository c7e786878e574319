"""The photographs that visitors of the page upload: a folder that cannot be left or filled up."""

import contextlib
import os
import re
from pathlib import Path

from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.image_header import read_header
from deeplab_tf.errors import InputError

MAX_FILE_BYTES = 30 * 2**20
MAX_PIXELS = 50_000_000

# All photographs together; beyond that the oldest are deleted.
MAX_FOLDER_BYTES = 400 * 2**20

# Gradio stores an upload as SHA-256/NAME below its folder.
_NAME = re.compile(r"[0-9a-f]{64}/[^/\\\x00-\x1f]{1,255}")


class Uploads:
    """The folder of the uploaded photographs.

    A photograph is named SHA-256/NAME, its path in the folder. Any other name, and what is no plain
    file there, is refused, so that nothing else on this machine can be read.

    Args:
      folder: path of the folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder).resolve()

    def name_of(self, path):
        """The name SHA-256/NAME of a file by its path.

        Args:
          path: str, as a browser sent it.

        Raises:
          InputError: if it is not the path of an uploaded photograph.
        """
        prefix = f"{self.folder}{os.sep}"
        is_inside = isinstance(path, str) and path.startswith(prefix)
        name = path.removeprefix(prefix) if is_inside else None
        self._file(name)
        return name

    def decode(self, name):
        """Read a photograph.

        Args:
          name: SHA-256/NAME.

        Returns:
          (H, W, 3) uint8 RGB.

        Raises:
          InputError: one sentence, if there is none, or it is too large, damaged or no image.
        """
        file = self._file(name)
        try:
            return _decoded(file.read_bytes())
        except InputError as error:
            raise InputError(f"{file.name}: {error}") from None

    def trim(self, limit=MAX_FOLDER_BYTES):
        """Delete the oldest files until at most `limit` bytes are left, but never the newest."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        files.sort(key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files[:-1]:
            if total <= limit:
                return
            total -= path.stat().st_size
            path.unlink()
            with contextlib.suppress(OSError):  # holds another file
                path.parent.rmdir()

    def _file(self, name):
        """Path of a photograph; `InputError` if there is none of this name."""
        if isinstance(name, str) and _NAME.fullmatch(name) and not name.endswith(("/.", "/..")):
            path = self.folder / name
            with contextlib.suppress(OSError):  # a name that is too long for a file
                if path.is_file() and path.resolve() == path:
                    return path
        raise InputError("this photograph is not here (any more); choose it again")


def _decoded(contents):
    if len(contents) > MAX_FILE_BYTES:
        raise InputError(f"larger than {MAX_FILE_BYTES // 2**20} MB; make the photograph smaller")
    header = read_header(contents)
    # A small file can hold many equal pixels, which would fill the memory.
    if header.width * header.height > MAX_PIXELS:
        raise InputError(
            f"{header.size} pixels are too many for this page (limit: {MAX_PIXELS // 10**6} "
            "million); make the photograph smaller"
        )
    return decode_image(contents)
