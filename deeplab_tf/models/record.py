"""What a file says of its network besides the weights, as JSON."""

import json
from dataclasses import asdict, fields

from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet


class NewerVersionError(InputError):
    """A file was written by a newer version of this package than the one that reads it."""


class NetworkRecord:
    """The base of dataclasses that describe a network.

    Each has the fields `classes`, the arguments of a `LabelSet`, and `crf`, those of `CRFParams` or
    None; and `FORMAT`, the number of its format: higher ones are of versions to come.
    """

    @property
    def label_set(self):
        """The `LabelSet` of its classes."""
        return LabelSet(**self.classes)

    @property
    def crf_params(self):
        """The `CRFParams` that suit it, or None."""
        return None if self.crf is None else CRFParams(**self.crf)

    def to_json(self, indent=None):
        """The record as text, which `from_json` reads.

        Args:
          indent: spaces before the entries; None: all on one line.
        """
        return json.dumps({"format": self.FORMAT, **asdict(self)}, indent=indent)

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` made.

        Raises:
          NewerVersionError: if it is of a later version.
          InputError: if it has classes that cannot be.
          KeyError, TypeError, ValueError: if it is something else.
        """
        content = json.loads(text)
        if content["format"] > cls.FORMAT:
            raise NewerVersionError("written by a newer version of this package; update it")
        record = cls(**{each.name: content[each.name] for each in fields(cls)})
        _ = record.label_set, record.crf_params
        return record
