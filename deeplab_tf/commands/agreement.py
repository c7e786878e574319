"""What the workers of one training run or evaluation must have in common."""

import zlib
from pathlib import Path

from deeplab_tf.commands.runs import PATH_FLAGS
from deeplab_tf.data.examples import evenly_spaced

# Paths differ between machines, and only the chief writes results.
_OWN_FLAGS = *PATH_FLAGS, "model", "model_dir", "num_threads", "overwrite"
_RESULT = "_out"  # ending of the flags that name results
_LOOKED_AT = 1000  # images of a list


def run_facts(flags, splits, label_set, model=None):
    """The facts to compare between workers by `check_agreement`.

    Args:
      flags: the parsed flags; those that hold a path are left out.
      splits: dict from the name of each list to its examples.
      label_set: `LabelSet` of the data set, or `HeadLabels`.
      model: Keras model that must have the same weights on all workers; None: it need not, or it
        is no Keras model.

    Returns:
      dict from str to str.
    """
    facts = {
        f"--{flag.name}": str(flag.value)
        for group in flags.flags_by_module_dict().values()
        for flag in group
        if flag.name not in _OWN_FLAGS and not flag.name.endswith(_RESULT)
    }
    facts["the classes"] = ", ".join(label_set.names)
    for name, examples in splits.items():
        facts[f"the list {name}"] = f"{len(examples)} images, checksum {checksum(examples):08x}"
    if hasattr(model, "get_weights"):
        total = 0
        for weights in model.get_weights():
            total = zlib.crc32(weights.tobytes(), total)
        facts["the weights of --model"] = f"checksum {total:08x}"
    return facts


def checksum(examples):
    """A checksum of the names of all examples, and of the sizes of some of their files.

    Args:
      examples: list of `Example`, `RecordExample`, `DepthExample`, `DepthTarget` or `HeadsExample`.

    Returns:
      int of 32 bits.
    """
    total = zlib.crc32("\n".join(example.name for example in examples).encode())
    for example in evenly_spaced(examples, _LOOKED_AT):
        parts = getattr(example, "parts", (example,))  # of a `HeadsExample`
        files = example.image, *(part.label for part in parts)
        sizes = [getattr(parts[0], "size", 0), *map(_size, files)]
        total = zlib.crc32(repr(sizes).encode(), total)
    return total


def _size(path):
    """Bytes of a file; 0 for a record, and for what is missing, which is noticed on reading."""
    try:
        return Path(path).stat().st_size if path else 0
    except (OSError, ValueError):  # what names a record need not be a path
        return 0
