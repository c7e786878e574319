"""Opening the lists of a data set for a check, with a finding for everything that is missing."""

from collections import Counter
from pathlib import Path

from deeplab_tf.data.checks.findings import WARNING, problem
from deeplab_tf.data.datasets import PREPARED, SYNTHETIC, open_dataset
from deeplab_tf.data.examples import Example
from deeplab_tf.data.lists import parse_entry, read_lines
from deeplab_tf.data.records import find_prepared, read_metadata, read_prepared_labels
from deeplab_tf.data.voc import find_files, list_path, missing_label, read_label_set
from deeplab_tf.errors import InputError


def open_lists(dataset, data_dir, splits, optional=(), need_labels=True, space=""):
    """Find the examples of several lists.

    `open_dataset` stops at the first missing file; this function reports all of them.

    Args:
      dataset: name of the data set; see `open_dataset`.
      data_dir: the data set's folder.
      splits: names of the lists; a list that is named twice is a finding.
      optional: names of lists that may be missing, with only a warning.
      need_labels: whether every example must have a label; False: labels are not looked for.
      space: label space, see `open_dataset`.

    Returns:
      (dict from the name of each list that could be read to its examples, `LabelSet`, list of
      `Finding`).

    Raises:
      InputError: if `data_dir` is not a folder, or its classes cannot be read.
    """
    if dataset in SYNTHETIC:
        SYNTHETIC[dataset](data_dir)
    if not Path(data_dir).is_dir():
        raise InputError(f"{data_dir}: no such folder; give the folder of a data set")
    opened, findings = {}, same_list(splits)
    for split in dict.fromkeys(splits):
        if dataset in PREPARED:
            examples, found = _open_prepared(dataset, data_dir, split, split in optional, space)
        else:
            wanted = need_labels, space
            examples, found = _open_folder(data_dir, split, split in optional, *wanted)
        findings += found
        if examples is not None:
            opened[split] = examples
    if dataset in PREPARED:
        return opened, read_prepared_labels(data_dir, dataset, space), findings
    return opened, read_label_set(data_dir, space), findings


def same_list(splits):
    """Find lists that are named both to train and to validate on.

    Args:
      splits: names of the lists.

    Returns:
      A list of `Finding`, one for each name that occurs more than once.
    """
    what = "is named twice, to train and to validate on"
    remedy = "name another list: train and validation images must differ"
    twice = [split for split, count in Counter(splits).items() if count > 1]
    return [problem("list_overlap", f"list {split!r}", what, remedy) for split in twice]


def _open_prepared(dataset, data_dir, split, is_optional, space):
    try:
        return open_dataset(dataset, data_dir, split, space=space)[0], []
    except InputError as error:
        file, _, rest = str(error).partition(": ")
        what, _, remedy = rest.partition("; ")
        metadata = read_metadata(find_prepared(data_dir, dataset))
        if split in {*metadata["names"], *metadata["lists"]}:
            return None, [problem("list_unreadable", file, what, remedy)]
        return None, [_missing_list(file, what, remedy, is_optional)]


def _missing_list(place, what, remedy, is_optional):
    return problem("list_missing", place, what, remedy, WARNING if is_optional else None)


def _open_folder(data_dir, split, is_optional, need_labels, space):
    # (examples, findings); None for the examples of a list that cannot be read.
    path = list_path(data_dir, split)
    if not path.is_file():
        remedy = "write the names of the split's examples there"
        return None, [_missing_list(path, "no such list", remedy, is_optional)]
    try:
        lines = read_lines(path)
        found = [_find(data_dir, line, need_labels, space) for line in lines]
    except InputError as error:
        what, _, remedy = str(error).removeprefix(f"{path}: ").partition("; ")
        return None, [problem("list_unreadable", path, what, remedy)]
    examples = [example for example, _ in found if example]
    findings = [finding for _, some in found for finding in some]
    return (None if findings and not examples else examples), findings


def _find(data_dir, line, need_labels, space):
    # (Example, findings); None for the example if a file is missing.
    entry = parse_entry(line, data_dir)
    image, label = find_files(data_dir, entry, space)
    findings = []
    if not image.is_file():
        what, remedy = "no such image", "add it or remove its name from the list"
        findings.append(problem("image_missing", image, what + _instead(image), remedy))
    if need_labels and not label.is_file():
        findings.append(_missing_label(label))
    label = str(label) if label.is_file() else ""
    return (None if findings else Example(entry.name, str(image), label)), findings


def _missing_label(path):
    instead = _instead(path)
    if instead.lower().endswith((".jpg", ".jpeg")):
        what = f"no such label{instead}; but JPEG changes the values"
        return problem("label_jpeg", path, what, "write class indices as a palette or gray PNG")
    what, remedy = missing_label(path)
    return problem("label_missing", path, what + instead, remedy)


def _instead(path):
    # A file of the same name with another ending shows what to fix.
    endings = (".jpg", ".jpeg", ".JPG", ".JPEG", ".PNG", ".gif", ".heic", ".HEIC", ".npz", ".mat")
    siblings = (path.with_name(path.stem + ending) for ending in endings)
    found = next((sibling for sibling in siblings if sibling.is_file()), None)
    return f", only {found.name}" if found else ""
