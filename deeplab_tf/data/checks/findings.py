"""The kinds of problems that a check of the data can find, and how serious they are."""

from typing import NamedTuple

from deeplab_tf.data.datasets import PREPARED
from deeplab_tf.errors import InputError

ERROR = "error"
"""How serious a finding is that would ruin training."""

WARNING = "warning"
"""How serious a finding is that may be intended, or whose evidence is weak."""

KINDS = {
    "list_missing": ERROR,
    "list_unreadable": ERROR,
    "list_empty": ERROR,
    "list_duplicate": ERROR,  # one name twice in a list
    "list_overlap": ERROR,  # one name in two lists
    "image_missing": ERROR,
    "image_unreadable": ERROR,
    "image_cmyk": ERROR,
    "image_16bit": ERROR,  # and it is a guess how many of the bits are used
    "image_rotated": ERROR,  # by its EXIF tag, and the size does not show whether the label is, too
    "image_gray": WARNING,
    "image_alpha": WARNING,
    "depth_missing": ERROR,
    "depth_unreadable": ERROR,
    "depth_size": ERROR,  # differs from the image's size
    "depth_unit": ERROR,  # so near or far that it is hardly in meters
    "depth_unknown": WARNING,  # at most pixels
    "label_missing": ERROR,
    "label_unreadable": ERROR,
    "label_jpeg": ERROR,
    "label_16bit": ERROR,
    "label_alpha": ERROR,
    "label_rgb": ERROR,  # RGB, but the colors of the classes are unknown
    "label_colors": ERROR,  # RGB, with colors that no class has
    "label_size": ERROR,  # differs from the image's size
    "label_value": ERROR,  # an index that no class has
    "label_mask": ERROR,  # 0, 128 and 255 of a mask instead of indices
    "void_only": ERROR,  # nothing but void in the label
    "void_object": ERROR,  # objects drawn as 255
    "label_interpolated": ERROR,  # classes that only resizing has made
    "label_mix": ERROR,  # some labels hold gray shades, others palette indices
    "label_palette": ERROR,  # one color has several indices
    "class_absent": WARNING,
    "class_ignored": WARNING,  # named as if it should be void
    "class_dominates": WARNING,
}
"""The kinds of findings, and how serious each is."""

# Accepted in published data sets, which published networks were trained on as they are.
PUBLISHED = ("void_only", "void_object")


class Finding(NamedTuple):
    """One problem of a data set.

    Args:
      severity: "error" or "warning".
      kind: a key of `KINDS`.
      file: the file at fault, or the list.
      what: what is wrong with it.
      remedy: what to do.
    """

    severity: str
    kind: str
    file: str
    what: str
    remedy: str

    @property
    def line(self):
        """The finding as a message of one line."""
        return f"{self.file}: {self.what}; {self.remedy}"


def problem(kind, file, what, remedy, severity=None):
    """Make a `Finding`; its severity is that of its kind unless another is given."""
    return Finding(severity or KINDS[kind], kind, str(file), what, remedy)


def accept(findings, allow):
    """Turn findings of allowed kinds into warnings.

    Args:
      findings: list of `Finding`.
      allow: names of kinds.

    Returns:
      A list of `Finding`.

    Raises:
      InputError: if a name is not a kind.
    """
    unknown = sorted(set(allow) - set(KINDS))
    if unknown:
        raise InputError(f"unknown kind of finding {unknown[0]!r}; available: {', '.join(KINDS)}")
    return [f._replace(severity=WARNING) if f.kind in allow else f for f in findings]


def accepted_kinds(dataset):
    """The kinds of errors that are only warnings in a published data set.

    Args:
      dataset: name of the data set; see `open_dataset`.

    Returns:
      A tuple of keys of `KINDS`; empty for the user's own data.
    """
    return PUBLISHED if dataset in PREPARED and dataset != "folder" else ()


def is_about_label(finding):
    """Whether the finding is about the contents of one label file."""
    return finding.kind.startswith("label_") or finding.kind == "void_only"


def some(values, most=5):
    """The first few values as text, and the number of the others.

    Example:
      >>> some(range(21, 60))
      '21, 22, 23, 24, 25 and 34 more'
    """
    values = [str(value) for value in values]
    text = ", ".join(values[:most])
    return text if len(values) <= most else f"{text} and {len(values) - most} more"
