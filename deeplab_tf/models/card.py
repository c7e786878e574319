"""What is known about a packed network besides its weights."""

import json
from dataclasses import asdict, dataclass, field, fields

from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

FORMAT = 1  # of the card in a file; higher ones are of versions to come


@dataclass(frozen=True)
class ModelCard:
    """A packed network's classes, settings, scores, and the words of those who trained it.

    Attributes:
      network: "network" is "deeplab" or "fcn"; the others are the arguments of `build_deeplab` or
        `build_fcn` that build it.
      classes: the arguments of its `LabelSet`.
      crf: the arguments of the `CRFParams` that suit it; None: none were found.
      testing: values of `scales`, `pad_to` and `max_side` that suit it, as flags of the commands.
      training: "command", "dataset", and the numbers of images by list; {} if not known.
      scores: what `deeplab-tf evaluate --json_out` wrote; None if it was not scored.
      notes: text in Markdown: a first line about what it is for, then sections.

    Example:
      >>> card = load_card("msrc21")
      >>> label = segment(load_pretrained("msrc21"), image, card.crf_params, **card.settings)
    """

    network: dict
    classes: dict
    crf: dict | None = None
    testing: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    scores: dict | None = None
    notes: str = ""

    @property
    def label_set(self):
        """The `LabelSet` of its classes."""
        return LabelSet(**self.classes)

    @property
    def crf_params(self):
        """The `CRFParams` that suit it, or None."""
        return None if self.crf is None else CRFParams(**self.crf)

    @property
    def settings(self):
        """`testing` as arguments of `deeplab_tf.segment`."""
        settings = dict(self.testing)
        if "scales" in settings:
            settings["scales"] = tuple(map(float, settings["scales"]))
        return settings

    @property
    def summary(self):
        """The first line of the notes; "" without notes."""
        return next(iter(self.notes.strip().splitlines()), "")

    def section(self, title):
        """The text of a section of the notes on one line; "" if there is none of this title."""
        after = f"\n{self.notes}\n".partition(f"\n## {title}\n")[2]
        return " ".join(after.partition("\n## ")[0].split())

    def to_json(self):
        """The card as text; `from_json` reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` made.

        Raises:
          InputError: if it is of a later version, or has classes that cannot be.
          KeyError, TypeError, ValueError: if it is something else.
        """
        content = json.loads(text)
        if content["format"] > FORMAT:
            raise InputError("written by a newer version of this package; update it")
        card = cls(**{each.name: content[each.name] for each in fields(cls)})
        _ = card.label_set, card.crf_params, card.network["network"]
        return card
