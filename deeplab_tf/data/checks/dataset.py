"""The check of a whole data set, or of a sample of it, before it is trained on."""

from collections import Counter
from multiprocessing.pool import ThreadPool

from tqdm import tqdm

from crf.threads import available_threads
from deeplab_tf.data.checks import across_labels
from deeplab_tf.data.checks.findings import ERROR, accept, is_about_label, problem, some
from deeplab_tf.data.checks.inspection import inspect_example, label_file
from deeplab_tf.data.checks.interpolation import interpolated_labels
from deeplab_tf.data.checks.label_values import sum_counts
from deeplab_tf.data.checks.report import Report, SplitCounts
from deeplab_tf.data.depth_targets import DepthTarget
from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.labels import LabelEncoding


def check_dataset(
    splits, label_set, encoding=None, *, channels=3, sample=None, allow=(), known=(), progress=True
):
    """Find what would ruin training.

    Args:
      splits: dict from the name of a list to its examples (`Example`, `RecordExample`,
        `DepthExample` or `DepthTarget`); the first list is the one that is trained on.
      label_set: `LabelSet`.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      channels: that images should have.
      sample: how many examples of each list to read, evenly spaced; None or 0 reads all. A sample
        does not show that a class never occurs, so that is not checked then.
      allow: kinds of findings that are only warnings; see `KINDS`.
      known: findings of `open_lists`, which become part of the report.
      progress: whether to show a progress bar if the check takes longer than a second.

    Returns:
      `Report`.

    Raises:
      InputError: if `allow` has an unknown kind.

    Example:
      >>> check_dataset({"train": examples}, label_set, sample=64).raise_for_errors()
    """
    encoding = encoding or LabelEncoding.plain(label_set.num_classes)
    accept((), allow)  # reports a misspelled name before the long check
    listed = {split: list(dict.fromkeys(examples)) for split, examples in splits.items()}
    read = {split: evenly_spaced(examples, sample) for split, examples in listed.items()}
    inspections = _inspect_all(read, (encoding, channels), progress)
    labels = {
        split: [(label_file(example), inspections[example]) for example in examples]
        for split, examples in read.items()
    }
    findings = [*known, *_list_findings(splits)]
    findings += [finding for inspection in inspections.values() for finding in inspection.findings]
    is_complete = read == listed and not any(map(_hides_labels, findings))
    if not any(isinstance(example, DepthTarget) for example in inspections):
        findings += _set_findings(labels, label_set, encoding, is_complete)
    findings = across_labels.explain_values(
        across_labels.explain_void(findings), _together(labels), label_set, encoding.num_values
    )
    findings = across_labels.rotated_like_others(findings)
    counts = {split: SplitCounts.of(len(listed[split]), part) for split, part in labels.items()}
    by_file = {file: e for e in inspections for file in (label_file(e), e.image)}
    findings = accept(dict.fromkeys(findings), allow)
    return Report(tuple(findings), label_set, encoding, counts, by_file)


def _hides_labels(finding):
    # A class that seems absent may be in the label that could not be read.
    missing = ("image_missing", "list_missing", "list_unreadable")
    return finding.severity == ERROR and (is_about_label(finding) or finding.kind in missing)


def _inspect_all(read, expected, progress):
    # {example: its Inspection}. Threads suffice, because decoders release Python's global lock.
    examples = list(dict.fromkeys(example for part in read.values() for example in part))
    bar = {"total": len(examples), "unit": "image", "desc": "checking", "delay": 1}
    with ThreadPool(available_threads()) as pool:
        found = pool.imap(lambda example: inspect_example(example, *expected), examples, 4)
        return dict(zip(examples, tqdm(found, **bar, disable=not progress), strict=True))


def _list_findings(splits):
    # Names that are listed twice or in two lists, even if their files differ.
    findings, seen = [], {}
    for split, examples in splits.items():
        place, names = _place(split), [example.name for example in examples]
        if not names:
            remedy = "write one name per line there"
            findings.append(problem("list_empty", place, "lists no example", remedy))
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            what = f"lists {some(map(repr, twice))} more than once"
            findings.append(problem("list_duplicate", place, what, "remove the repetitions"))
        for other, others in seen.items():
            both = sorted(others.intersection(names))
            if both:
                what = f"has {some(map(repr, both))} in common with list {other!r}"
                remedy = "remove them from one: train and validation images must differ"
                findings.append(problem("list_overlap", place, what, remedy))
        seen[split] = set(names)
    return findings


def _together(labels):
    return [pair for part in labels.values() for pair in part]


def _place(split):
    return f"list {split!r}"


def _set_findings(labels, label_set, encoding, is_complete):
    together = _together(labels)
    pixels = sum_counts(inspection.pixels for _, inspection in together)
    absent = {index: name for index, name in enumerate(label_set.names) if not pixels[index]}
    findings = across_labels.mixed_labels(together, encoding.num_values)
    findings += across_labels.mixed_palettes(together)
    findings += interpolated_labels(together, label_set, encoding)
    findings += across_labels.ignored_classes(label_set)
    seems_void = across_labels.is_beside_everything(together)
    for part in labels.values():
        findings += across_labels.void_objects(part, absent, is_complete, seems_void)
    first = next(iter(labels), None)
    if is_complete and labels.get(first):
        findings += across_labels.class_shares(labels[first], _place(first), label_set)
    return findings
