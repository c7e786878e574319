"""Arrays that are kept from one image to the next.

The first access to newly allocated memory costs more than a pass over memory in use: with new
arrays for every image, it would take a fifth of the computing time.
"""

from contextlib import contextmanager

import numpy as np

from crf.threads import available_threads

# A workspace that a very large image made larger than this is freed after that image.
_KEPT_BYTES = 2**28


class Workspace:
    """Named arrays; each name has a block of memory that later arrays of this name reuse."""

    def __init__(self):
        self._blocks = {}

    def array(self, name, size, dtype):
        """An array of undefined values.

        Args:
          name: its purpose. The memory of the previous array of this name is reused.
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
    # Not reached after an error, when something may still refer to its arrays.
    if workspace.nbytes <= _KEPT_BYTES and len(_idle) < available_threads():
        _idle.append(workspace)
