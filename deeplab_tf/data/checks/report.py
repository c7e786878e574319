"""The report of a check of a data set: as text, as a dict for JSON, or as an error."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from deeplab_tf.data.checks.findings import ERROR, Finding
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, LabelEncoding, LabelSet

SHOWN_FILES = 3  # of each kind, in the text


class SplitCounts(NamedTuple):
    """The classes in the labels of one list.

    Args:
      listed: number of examples in the list.
      checked: number of them that were read.
      pixels: dict from label value to its number of pixels.
      images: dict from label value to the number of labels that have it.
    """

    listed: int
    checked: int
    pixels: dict[int, int]
    images: dict[int, int]

    @classmethod
    def of(cls, listed, labels):
        """Count the label values of a list of (file, `Inspection`)."""
        pixels, images = Counter(), Counter()
        for _, inspection in labels:
            pixels.update(inspection.pixels)
            images.update(inspection.pixels.keys())
        return cls(listed, len(labels), dict(pixels), dict(images))


@dataclass(frozen=True)
class Report:
    """The result of `check_dataset`.

    Args:
      findings: tuple of `Finding`.
      label_set: `LabelSet` of the data set.
      encoding: `LabelEncoding` of its label files.
      counts: dict from the name of a list to its `SplitCounts`.
      examples: dict from an image's or label's file to its example, for the picture.
    """

    findings: tuple[Finding, ...]
    label_set: LabelSet
    encoding: LabelEncoding
    counts: dict[str, SplitCounts]
    examples: dict = field(repr=False)

    @property
    def errors(self):
        """The findings that would ruin training."""
        return [finding for finding in self.findings if finding.severity == ERROR]

    @property
    def warnings(self):
        """The findings that may be intended."""
        return [finding for finding in self.findings if finding.severity != ERROR]

    @property
    def ok(self):
        """Whether there is no error."""
        return not self.errors

    def raise_for_errors(self, advice="deeplab-tf check-data lists them all"):
        """Stop if the data would ruin training.

        Args:
          advice: end of the message if there are several problems.

        Raises:
          InputError: with the number of errors and the first of them.
        """
        errors = self.errors
        if len(errors) == 1:
            raise InputError(f"1 problem in the data: {errors[0].line}")
        if errors:
            raise InputError(
                f"{len(errors)} problems in the data, the first: {errors[0].line}; {advice}"
            )

    def warning_lines(self):
        """One line for each kind of warning: the first one, and how many more there are."""
        lines = []
        for group in _groups(self.warnings):
            more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
            lines.append(f"warning: {group[0].kind}: {group[0].line}{more}")
        return lines

    def text(self):
        """The report as text: examples read, classes, and each kind of problem."""
        read = [f"{split}: {c.checked} of {c.listed} examples" for split, c in self.counts.items()]
        problems = [line for group in _groups(self.findings) for line in _describe(group)]
        parts = [read, _class_table(self.label_set, self.counts), problems or ["no problem found"]]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def to_dict(self):
        """The whole report as a dict for JSON."""
        return {
            "ok": self.ok,
            "findings": [finding._asdict() for finding in self.findings],
            "splits": {split: self._split_dict(split) for split in self.counts},
        }

    def _split_dict(self, split):
        counts = self.counts[split]
        values = dict(enumerate(self.label_set.names)) | {VOID: "void"}
        return {
            "listed": counts.listed,
            "checked": counts.checked,
            "pixels": {name: counts.pixels.get(value, 0) for value, name in values.items()},
            "images": {name: counts.images.get(value, 0) for value, name in values.items()},
        }


def _groups(findings):
    # Lists of findings of one kind and severity; errors first, otherwise in their order.
    groups = {}
    for finding in findings:
        groups.setdefault((finding.severity != ERROR, finding.kind), []).append(finding)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _describe(group):
    # The lines of a group; the remedy is that of its first finding.
    title = f"{group[0].severity} {group[0].kind}: {len(group)}"
    files = [f"  {finding.file}: {finding.what}" for finding in group[:SHOWN_FILES]]
    rest = len(group) - SHOWN_FILES
    return [title, *files, *([f"  and {rest} more"] if rest > 0 else []), f"  -> {group[0].remedy}"]


def _class_table(label_set, counts):
    counts = {split: count for split, count in counts.items() if count.pixels}
    if not counts:
        return []
    rows = [*enumerate(label_set.names), (VOID, "void")]
    width = max(len(name) for _, name in rows)
    title = "class".ljust(width)
    for split in counts:
        title += f"{split} pixels".rjust(max(16, len(split) + 9)) + "images".rjust(9)
    lines = [title, "-" * len(title)]
    for value, name in rows:
        lines.append(name.ljust(width) + "".join(_cells(s, counts[s], value) for s in counts))
    return lines


def _cells(split, counts, value):
    share = 100 * counts.pixels.get(value, 0) / sum(counts.pixels.values())
    images = str(counts.images.get(value, 0))
    return f"{share:.3f} %".rjust(max(16, len(split) + 9)) + images.rjust(9)
