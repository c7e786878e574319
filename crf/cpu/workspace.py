"""Arrays that are kept from one image to the next.

The first access to newly allocated memory costs more than a pass over memory in use: with new
arrays for every image, it would take a fifth of the time.
"""

from contextlib import contextmanager

import numpy as np

from crf.threads import available_threads

# A workspace that a very large image made larger than this is freed after that image.
_KEPT_BYTES = 2**28


class Workspace:
    """Named arrays, each in its own block of memory, which is used again."""

    def __init__(self):
        self._blocks = {}

    def array(self, name, size, dtype):
        """An array of undefined values.

        Args:
          name: its purpose; shares its memory with the array given for this name before.
          size: number of elements.
          dtype: their type.

        Returns:
          (size,) array.
        """
        needed = size * np.dtype(dtype).itemsize
        block = self._blocks.get(name)
        if block is None or block.nbytes < needed:
            # Free the old block first, so that both are never held at once.
            self._blocks.pop(name, None)
            block = self._blocks[name] = np.empty(needed, np.uint8)
        return block[:needed].view(dtype)

    @property
    def nbytes(self):
        """Memory in use, in bytes."""
        return sum(block.nbytes for block in self._blocks.values())


_idle = []


@contextmanager
def borrowed_workspace():
    """A workspace that no other caller uses until the context ends."""
    try:
        workspace = _idle.pop()
    except IndexError:
        workspace = Workspace()
    yield workspace
    # Not after an error: its arrays may then still be referenced.
    if workspace.nbytes <= _KEPT_BYTES and len(_idle) < available_threads():
        _idle.append(workspace)
