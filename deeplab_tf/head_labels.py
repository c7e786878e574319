"""The classes of a network with several score heads, each with a label space of its own."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file
from deeplab_tf.labels import LabelSet
from deeplab_tf.untrusted import parse_json


@dataclass(frozen=True)
class HeadLabels:
    """The classes of each score head of a network.

    The network's channels are the scores of the first head, then those of the second, and so on.

    Args:
      heads: the names of the heads, all different: letters, digits and _, as Python's names.
      label_sets: the `LabelSet` of each.

    Raises:
      InputError: if a name is repeated or cannot be used, or there are not as many label sets as
        heads.

    Example:
      >>> HeadLabels.generic({"semantic": 33, "geometric": 3}).num_classes
      36
    """

    heads: tuple[str, ...]
    label_sets: tuple[LabelSet, ...]

    def __post_init__(self):
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "label_sets", tuple(self.label_sets))
        if not 0 < len(self.heads) == len(set(self.heads)) == len(self.label_sets):
            raise InputError(
                f"heads {', '.join(self.heads)} with {len(self.label_sets)} label sets; give one "
                "label set for each head, and no name twice"
            )
        check_head_names(self.heads)

    @property
    def num_classes(self):
        """Number of score channels: the classes of all heads."""
        return sum(label_set.num_classes for label_set in self.label_sets)

    @property
    def names(self):
        """The classes in the order of the channels, as HEAD/CLASS."""
        return tuple(f"{head}/{name}" for head, each in self.items() for name in each.names)

    @property
    def sizes(self):
        """{name of a head: number of its classes}."""
        return {head: label_set.num_classes for head, label_set in self.items()}

    def items(self):
        """Pairs of a head's name and its `LabelSet`."""
        return zip(self.heads, self.label_sets, strict=True)

    def of(self, head):
        """The `LabelSet` of a head."""
        return self.label_sets[self.heads.index(head)]

    def save(self, path):
        """Write the classes of all heads to the file `path` as JSON; `read_labels` reads it."""
        write_file(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def generic(cls, sizes):
        """Classes named "class 0", "class 1", ...; `sizes` as the attribute."""
        return cls(tuple(sizes), tuple(map(LabelSet.generic, sizes.values())))


def check_head_names(heads):
    """Raise `InputError` unless names of heads can be those of folders and outputs."""
    for head in heads:
        if not (isinstance(head, str) and head.isidentifier()):
            raise InputError(f"head {head!r}: give a name of letters, digits and _")


def labels_from(content):
    """The `LabelSet` or `HeadLabels` of which `dataclasses.asdict` made a dict.

    Raises:
      KeyError, TypeError, ValueError: if it is something else.
    """
    if "heads" not in content:
        return LabelSet(**content)
    label_sets = [LabelSet(**each) for each in content["label_sets"]]
    return HeadLabels(content["heads"], label_sets)


def read_labels(path):
    """Read a file that `LabelSet.save` or `HeadLabels.save` wrote; returns what was saved.

    Raises:
      InputError: if the file is missing or holds something else.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
        if "heads" in content:
            return labels_from(content)
    except (OSError, KeyError, TypeError, ValueError):
        pass  # LabelSet.load says what is wrong
    return LabelSet.load(path)
