"""Arrays that are kept from one image to the next.

The first touch of fresh memory costs more than a pass over memory in use: with fresh arrays for
every image a fifth of the time would go there.
"""

from contextlib import contextmanager

import numpy as np

from crf.threads import available_threads

# A workspace that has grown beyond this, by a very large image, is given back after it.
KEPT_BYTES = 2**28


class Workspace:
    """Named arrays, each with memory of its own that is used again."""

    def __init__(self):
        self._blocks = {}

    def array(self, name, size, dtype):
        """An array of undefined values.

        Args:
          name: what it is for; the array given for the same name before is overwritten.
          size: number of elements.
          dtype: their type.
        """
        needed = size * np.dtype(dtype).itemsize
        block = self._blocks.get(name)
        if block is None or block.nbytes < needed:
            # The old one goes first, so that both never take memory at once.
            self._blocks.pop(name, None)
            block = self._blocks[name] = np.empty(needed, np.uint8)
        return block[:needed].view(dtype)

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return sum(block.nbytes for block in self._blocks.values())


_idle = []


@contextmanager
def borrowed_workspace():
    """A workspace that nobody else uses until the context ends."""
    try:
        workspace = _idle.pop()
    except IndexError:
        workspace = Workspace()
    yield workspace
    # Not after an error: its arrays may then still be referred to.
    if workspace.nbytes <= KEPT_BYTES and len(_idle) < available_threads():
        _idle.append(workspace)


class FreshMemory:
    """In place of a workspace where arrays outlive the image."""

    @staticmethod
    def array(_name, size, dtype):
        """A new array of undefined values."""
        return np.empty(size, dtype)
