"""What the readers of the authors' files return."""

from typing import NamedTuple

import keras


class Imported(NamedTuple):
    """An imported network, and which layers were matched.

    Attributes:
      model: keras.Model, see `build_deeplab`.
      used: {layer of the model: names of the file's layers that its weights come from}.
      unused: names of the file's layers whose weights no layer of the model takes.
      missing: layers of the model without weights in the file; they stay random.
      notes: sentences about the file that its user should know.
      backbone, head: names of the network's parts, if they were found in the file.
    """

    model: keras.Model
    used: dict
    unused: tuple
    missing: tuple
    notes: tuple = ()
    backbone: str | None = None
    head: str | None = None
