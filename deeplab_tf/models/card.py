"""What is known about a packed network besides its weights."""

from dataclasses import dataclass, field

from deeplab_tf.models.record import NetworkRecord

_NOT_OF_SEGMENT = "input", "camera", "output_stride"


@dataclass(frozen=True)
class ModelCard(NetworkRecord):
    """A packed network's classes, settings, scores, and the words of those who trained it.

    Attributes:
      network: "network" is "deeplab" or "fcn"; the others are the arguments of `build_deeplab` or
        `build_fcn` that build it.
      classes: the arguments of `label_set`, its `LabelSet`.
      crf: the arguments of `crf_params`, the `CRFParams` that suit it; None: none were found.
      testing: values of `scales`, `pad_to` and `max_side` that suit it, as flags of the commands;
        of a network for depth, `input` and the `camera` of its training data. With
        `output_stride`, the packed network has this one and not that of its training.
      training: "command", "dataset", and the numbers of images by list; {} if not known.
      scores: what `deeplab-tf evaluate --json_out` wrote; None if it was not scored.
      notes: text in Markdown: a first line about what it is for, then sections.

    Example:
      >>> card = load_card("msrc21")
      >>> label = segment(load_pretrained("msrc21"), image, card.crf_params, **card.settings)
    """

    FORMAT = 1

    network: dict
    classes: dict
    crf: dict | None = None
    testing: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    scores: dict | None = None
    notes: str = ""

    @property
    def settings(self):
        """`testing` as arguments of `deeplab_tf.segment`."""
        settings = {
            name: value for name, value in self.testing.items() if name not in _NOT_OF_SEGMENT
        }
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
        return super().to_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` made.

        Raises:
          InputError: if it is of a later version, or has classes that cannot be.
          KeyError, TypeError, ValueError: if it is something else.
        """
        card = super().from_json(text)
        _ = card.network["network"]
        return card
