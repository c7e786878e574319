"""What a file says of its network besides the weights, as JSON."""

import json
from dataclasses import asdict, fields

from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import labels_from
from deeplab_tf.untrusted import parse_json


class NewerVersionError(InputError):
    """A file was written by a newer version of this package than the one that reads it."""


class NetworkRecord:
    """The base of dataclasses that describe a network.

    Each has the fields `classes`, the arguments of a `LabelSet` or `HeadLabels`; `crf`, those of
    `CRFParams`, or None; `FORMAT`, the number of its format: higher ones are of versions to come;
    and `ADDED`, the names of fields that older files of the same format lack.
    """

    ADDED = ()

    @property
    def label_set(self):
        """The `LabelSet` of its classes; `HeadLabels` of a network with several score heads."""
        return labels_from(self.classes)

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
        content = parse_json(text)
        if content["format"] > cls.FORMAT:
            raise NewerVersionError("written by a newer version of this package; update it")
        # Older versions did not write all fields; those that have always been there are needed.
        known = [each.name for each in fields(cls) if each.name not in cls.ADDED]
        more = [name for name in cls.ADDED if name in content]
        record = cls(**{name: content[name] for name in known + more})
        _ = record.label_set, record.crf_params
        return record
