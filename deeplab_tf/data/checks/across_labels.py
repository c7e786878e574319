"""Problems that only show in many labels together: void objects, mixed labels, class shares.

Each function takes the labels that were inspected as a list of (file, `Inspection`), and returns a
list of `Finding` that does not depend on their order.
"""

from collections import Counter

from deeplab_tf.data.checks.findings import ERROR, WARNING, is_about_label, problem, some
from deeplab_tf.data.checks.label_values import gray_shades, sum_counts, value_remedy
from deeplab_tf.labels import VOID

# Shares of the labels in which void fills areas: above the first it is certain that objects were
# drawn as void, above the second it is worth a warning.
SOLID_SHARE, HINT_SHARE = 0.5, 0.1
DOMINANT_SHARE = 0.999  # of the pixels that are not void
SHADES_SHARE = 0.5  # of the gray labels; if more hold only shades of colors, they are an error
IGNORED_NAMES = {"unlabelled", "unlabeled", "ignore", "ignored"}  # in lower case
ACCIDENT = 1e-4  # a match less probable than this is not taken for a coincidence


def is_beside_everything(labels):
    """Whether 255 fills areas in more labels than any class occurs in, as only void should."""
    images = Counter()
    for _, inspection in labels:
        images.update(inspection.pixels.keys() - {VOID})
    solid = sum(inspection.solid_void for _, inspection in labels)
    return solid > max(images.values(), default=0)


def void_objects(labels, absent, is_complete, seems_void=False):
    """Find objects drawn with the value of void.

    That most or all labels with objects hold only 0 and 255, or that 255 fills areas in most
    labels, is no proof by itself: it is an error only if some class also occurs nowhere.

    But a few dozen images, taken from many classes and with much void, often lack some class. So
    areas of 255 beside other classes are an error only if exactly one class is missing, as 255
    could not stand for several; and not if 255 is found in more labels than any class, unless the
    missing class is that of index 0, usually the background.

    Args:
      labels: list of (file, `Inspection`) of one split.
      absent: dict from index to name of the classes that no label of any split has.
      is_complete: whether all labels of all splits were read, so `absent` is certain.
      seems_void: `is_beside_everything` of the labels of all splits.

    Returns:
      A list of at most one `Finding`.
    """
    values = sum_counts(inspection.values for _, inspection in labels)
    if set(values) == {0, VOID} and set(absent) - {0}:
        masks = [file for file, inspection in labels if VOID in inspection.values]
        return [_void_object(masks, labels, "is the only value other than 0", absent)]
    shown = [
        (file, inspection)
        for file, inspection in labels
        if set(inspection.values) not in ({0}, {VOID}, set())
    ]
    alone = [
        file
        for file, inspection in shown
        if set(inspection.values) == {0, VOID} and inspection.solid_void
    ]
    if len(alone) > SOLID_SHARE * len(shown) and set(absent) - {0}:
        return [_void_object(alone, shown, "is the only value other than 0", absent)]
    solid = [file for file, inspection in labels if inspection.solid_void]
    if is_complete and absent and len(solid) > HINT_SHARE * len(labels):
        is_one_class = len(absent) == 1 and (0 in absent or not seems_void)
        is_likely = len(solid) > SOLID_SHARE * len(labels) and is_one_class
        severity = ERROR if is_likely else WARNING
        return [_void_object(solid, labels, "fills areas", absent, severity)]
    return (
        [_void_object(alone, shown, "is the only value other than 0", {}, WARNING)] if alone else []
    )


def _void_object(files, labels, how, absent, severity=ERROR):
    what = f"{VOID} (void, not learned) {how} in {len(files)} of {len(labels)} labels"
    if absent:
        what += f", while no label has {some(map(repr, absent.values()), 3)}"
    remedy = f"if {VOID} is meant as a class, write that class's index instead, such as 1"
    if severity == ERROR:
        remedy += "; if it is void, accept it by --allow_data=void_object"
    return problem("void_object", min(files), what, remedy, severity)


def mixed_labels(labels, num_values):
    """Find labels stored as gray levels among labels stored as palette indices or colors.

    A mix of palette and gray labels is common: VOC's labels have palettes, and SBD's are often
    stored as gray levels. A gray level that is the index of a class may also be the shade of a
    color, and proves nothing. It is an error only if most gray labels hold nothing but shades,
    and too many of them for a coincidence.

    Args:
      labels: list of (file, `Inspection`) of all splits.
      num_values: number of values that have a meaning.

    Returns:
      A list of `Finding`: an error for each gray label that holds gray shades while palette
      labels hold indices, or else one warning about the mix.
    """
    labels = [
        (file, inspection)
        for file, inspection in labels
        if inspection.values and not any(map(is_about_label, inspection.findings))
    ]
    counts = Counter(inspection.color for _, inspection in labels)
    if len(counts) < 2:
        return []
    return _shades_of_colors(labels, num_values) or [_mix_warning(labels, counts)]


def _shades_of_colors(labels, num_values):
    # Only the colors that occur in palettes: the shades of all classes' colors together would
    # be nearly all gray levels.
    shades = gray_shades([tuple(color) for _, inspection in labels for color in inspection.palette])
    gray = [
        (file, set(inspection.values) - {0, VOID})
        for file, inspection in labels
        if inspection.color == "gray"
    ]
    wrong = [
        problem(
            "label_mix",
            file,
            f"gray levels {some(sorted(levels))} are shades of the colors that palette labels of"
            " the same data show",
            "write the class indices instead",
        )
        for file, levels in gray
        if _are_shades(levels, shades, num_values)
    ]
    return wrong if len(wrong) > SHADES_SHARE * len(gray) else []


def _are_shades(levels, shades, num_values):
    # Whether all levels are shades, and this is too unlikely for class indices: `share` is the
    # probability that one random index is also a shade.
    share = len([shade for shade in shades if shade < num_values]) / num_values
    return levels <= shades and share ** len(levels) < ACCIDENT


def _mix_warning(labels, counts):
    rarest = min(counts, key=lambda color: (counts[color], color))
    file = min(file for file, inspection in labels if inspection.color == rarest)
    listed = ", ".join(f"{counts[color]} {color}" for color in sorted(counts))
    what = f"{rarest} label among others ({listed})"
    return problem("label_mix", file, what, "check that all hold the same indices", WARNING)


def mixed_palettes(labels):
    """Find palette labels in which a color has a different index than in most other labels.

    A program that makes a new palette for each picture assigns the indices again, so the same index
    means different classes in different files.

    Args:
      labels: list of (file, `Inspection`) of all splits.

    Returns:
      A list of `Finding`, one for each such file.
    """
    votes = Counter(pair for _, inspection in labels for pair in inspection.palette.items())
    usual = {}
    for (color, index), count in sorted(votes.items(), key=lambda vote: (vote[1], -vote[0][1])):
        usual[color] = index, count  # the most frequent one wins; of equals, the lowest index
    findings = []
    for file, inspection in labels:
        strange = sorted((v, c) for c, v in inspection.palette.items() if usual[c][0] != v)
        if strange:
            index, color = strange[0]
            what = (
                f"color {tuple(color)} is index {index} in its palette but {usual[color][0]} in"
                f" {usual[color][1]} others"
            )
            remedy = "give all labels one palette, with each class at its index"
            findings.append(problem("label_palette", file, what, remedy))
    return findings


def rotated_like_others(findings):
    """Reduce errors about rotated images to warnings, if other images show that labels fit.

    The size of a label does not show whether it was drawn on the image as stored or as viewers
    turn it, if the image is turned upside down or is a square. Labels of other rotated images do.

    Args:
      findings: list of `Finding`.

    Returns:
      A list of `Finding`.
    """
    fitting = any(f.kind == "image_rotated" and f.severity == WARNING for f in findings)
    if not fitting or any(f.kind == "label_size" for f in findings):
        return findings
    return [f._replace(severity=WARNING) if f.kind == "image_rotated" else f for f in findings]


def class_shares(labels, place, label_set):
    """Find classes that never occur, and a class that fills nearly all pixels.

    Args:
      labels: list of (file, `Inspection`): all labels of the list that is trained on.
      place: the name of the list in messages.
      label_set: `LabelSet`.

    Returns:
      A list of `Finding`, warnings.
    """
    pixels = sum_counts(inspection.pixels for _, inspection in labels)
    absent = [name for index, name in enumerate(label_set.names) if not pixels[index]]
    findings = []
    if absent:
        what = f"no label has {some(map(repr, absent))}"
        remedy = "a network cannot learn it: add examples or remove the class"
        findings.append(problem("class_absent", place, what, remedy))
    total = sum(pixels[index] for index in range(label_set.num_classes))
    for index, name in enumerate(label_set.names):
        if pixels[index] > DOMINANT_SHARE * total:
            what = f"{100 * pixels[index] / total:.3f} % of the pixels are {name!r}"
            remedy = "a network learns to predict nothing else: add examples of the other classes"
            findings.append(problem("class_dominates", place, what, remedy))
    return findings


def ignored_classes(label_set):
    """Find classes whose names say that they should be void, in a list of at most one `Finding`."""
    named = [name for name in label_set.names if name.lower() in IGNORED_NAMES]
    if not named:
        return []
    what = f"{some(map(repr, named))} is learned and scored like any other class"
    remedy = f"to ignore it, mark its line as void: '{named[0]} void'"
    return [problem("class_ignored", "classes", what, remedy)]


def explain_void(findings):
    """List objects drawn as void first; labels that hold nothing but void get their remedy.

    Args:
      findings: list of `Finding`.

    Returns:
      A list of `Finding`.
    """
    reasons = [f for f in findings if f.kind == "void_object" and f.severity == ERROR]
    if not reasons:
        return findings
    others = [finding for finding in findings if finding not in reasons]
    remedy = reasons[0].remedy
    return reasons + [f._replace(remedy=remedy) if f.kind == "void_only" else f for f in others]


def explain_values(findings, labels, label_set, num_values):
    """Give wrong label values one remedy that fits all labels together.

    Args:
      findings: list of `Finding`.
      labels: list of (file, `Inspection`) of all splits.
      label_set: `LabelSet`.
      num_values: number of values that have a meaning.

    Returns:
      A list of `Finding`.
    """
    if not any(finding.kind == "label_value" for finding in findings):
        return findings
    files = {finding.file for finding in findings if finding.kind == "label_value"}
    values = sum_counts(inspection.values for file, inspection in labels if file in files)
    remedy = value_remedy(values, num_values, label_set.colors)
    return [f._replace(remedy=remedy) if f.kind == "label_value" else f for f in findings]
