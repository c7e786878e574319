"""What a check of the data can find: the kinds of problems and how grave they are."""

from typing import NamedTuple

from deeplab_tf.data.datasets import PREPARED
from deeplab_tf.errors import InputError

ERROR, WARNING = "error", "warning"

# An error would spoil a training; a warning may be meant so. Where the evidence for an error is
# weak, a finding of that kind is a warning.
KINDS = {
    "list_missing": ERROR,
    "list_unreadable": ERROR,
    "list_empty": ERROR,
    "list_duplicate": ERROR,  # one name twice in a list
    "list_overlap": ERROR,  # one name in two lists
    "image_missing": ERROR,
    "image_unreadable": ERROR,
    "image_cmyk": ERROR,
    "image_16bit": ERROR,
    "image_rotated": ERROR,  # by EXIF, which decoders ignore
    "image_grey": WARNING,
    "image_alpha": WARNING,
    "label_missing": ERROR,
    "label_unreadable": ERROR,
    "label_jpeg": ERROR,
    "label_16bit": ERROR,
    "label_alpha": ERROR,
    "label_rgb": ERROR,  # and no colours are known
    "label_colors": ERROR,  # RGB in colours of no class
    "label_size": ERROR,  # not the image's
    "label_value": ERROR,  # of no class
    "label_mask": ERROR,  # 0, 128 and 255, as masks are drawn
    "void_only": ERROR,  # nothing but void in the label
    "void_object": ERROR,  # objects drawn as 255
    "label_mix": ERROR,  # grey levels beside palette indices
    "label_palette": ERROR,  # one colour under several indices
    "class_absent": WARNING,
    "class_dominates": WARNING,
}

# What published images and labels may have: nobody can mend it, and many have trained on it.
PUBLISHED = ("image_rotated", "void_only", "void_object")


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
    """A `Finding` of the severity that its kind has, unless another is given."""
    return Finding(severity or KINDS[kind], kind, str(file), what, remedy)


def accept(findings, allow):
    """The findings with those of allowed kinds turned into warnings.

    Args:
      findings: list of `Finding`.
      allow: names of kinds.

    Returns:
      A list of `Finding`.

    Raises:
      InputError: where a name is no kind.
    """
    unknown = sorted(set(allow) - set(KINDS))
    if unknown:
        raise InputError(f"no kind of finding {unknown[0]!r}; allow some of {', '.join(KINDS)}")
    return [f._replace(severity=WARNING) if f.kind in allow else f for f in findings]


def accepted_kinds(dataset):
    """The kinds of errors that are only warnings in a data set, because it is published as it is.

    Args:
      dataset: name of the data set; see `open_dataset`.

    Returns:
      A tuple of keys of `KINDS`; empty for data of the user's own.
    """
    return PUBLISHED if dataset in PREPARED and dataset != "folder" else ()


def is_about_label(finding):
    """Whether the finding is about the contents of one label file."""
    return finding.kind.startswith("label_") or finding.kind == "void_only"


def some(values, most=5):
    """The first of some values as text, and how many more there are.

    Example:
      >>> some(range(21, 60))
      '21, 22, 23, 24, 25 and 34 more'
    """
    values = [str(value) for value in values]
    text = ", ".join(values[:most])
    return text if len(values) <= most else f"{text} and {len(values) - most} more"
