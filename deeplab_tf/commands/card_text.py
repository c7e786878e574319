"""The card of a packed network as text: the page in Markdown, and a few lines for a list."""

from deeplab_tf.evaluation.search_report import params_flags
from deeplab_tf.pretrained.released import RELEASED, STARTS, cache_folder, converted_folder

_MEANS = {"mean IoU": "miou", "pixel accuracy": "pixel_accuracy", "mean accuracy": "mean_accuracy"}


def card_text(name, card, size):
    """The whole card.

    Args:
      name: of the network, as --model takes it.
      card: `ModelCard`.
      size: of the file, in bytes.

    Returns:
      str, a page in Markdown.
    """
    crf = " --crf" if card.crf else ""
    first, _, rest = card.notes.strip().partition("\n")
    parts = [
        f"# {name}",
        first,
        f"    deeplab-tf predict --model={name}{crf} --out_dir=labels PHOTO.jpg",
        f"{describe_network(card)}; {size / 1e6:.1f} MB, kernels in 16 bits. Classes: "
        f"{', '.join(card.label_set.names)}.",
        *_scores(card),
        *_crf(card),
        *_training(card),
        rest.strip(),
        "Written by `deeplab-tf pack`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def list_entry(name, card, size):
    """A few lines for the list of networks: what it is for, its scores and its terms.

    Args:
      name, card, size: as for `card_text`.

    Returns:
      str without line break at the end.
    """
    title = f"{name}: {card.summary}" if card.summary else name
    lines = [title, f"{describe_network(card)}; {size / 1e6:.1f} MB"]
    if card.scores:
        after = card.scores.get("crf") or {}
        figures = [
            f"{title} {_figure(card.scores[key])}"
            + (f", with the CRF {_figure(after[key])}" if after else "")
            for title, key in list(_MEANS.items())[:2]
        ]
        lines.append("; ".join(figures) + f" ({scored_on(card.scores)})")
    if terms := card.section("Terms"):
        lines.append(f"terms: {terms}")
    return "\n  ".join(lines)


def released_entry(name):
    """A few lines about a released network: what it is, its published figure and its terms.

    Args:
      name: one of `released_names()`.

    Returns:
      str without line break at the end.
    """
    network = RELEASED[name]
    classes = f"{network.label_set.num_classes} classes"
    lines = [
        f"{name}: {network.network}, {classes}; trained on {network.trained_on}",
        f"published mean IoU {network.figure}",
        f"terms: {network.license}",
        f"about {network.size / 1e6:.3g} MB, downloaded when it is first used",
    ]
    return "\n  ".join(lines)


def start_entry(name):
    """A few lines about a network to start trainings from; nothing is downloaded.

    Args:
      name: one of `start_names()`.

    Returns:
      str without line break at the end.
    """
    network = STARTS[name]
    lines = [
        f"{name}: {network.network}, trained on {network.trained_on}; no classes, to start from: "
        f"deeplab-tf train --init_from={name}",
        f"file: {network.url}, about {network.size / 1e6:.3g} MB",
        f"kept as: {cache_folder() / network.file_name}",
        f"terms: {network.license}",
    ]
    return "\n  ".join(lines)


def released_text(name):
    """All that is known about a released network; nothing is downloaded.

    Args:
      name: one of `released_names()`.

    Returns:
      str without line break at the end.
    """
    network, names = RELEASED[name], RELEASED[name].label_set.names
    lines = [
        released_entry(name),
        f"file: {network.url}",
        f"kept as: {cache_folder() / network.file_name}",
        f"converted: {converted_folder(name)}",
        f"classes: {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
    ]
    if network.crf:
        lines.append(f"--crf means: {' '.join(params_flags(network.crf).values())}")
    return "\n  ".join(lines)


def describe_network(card):
    """Backbone, head, stride and number of classes on one line."""
    network = card.network
    fcn = network["network"].startswith("fcn")
    what = f"FCN-{network['stride']}s" if fcn else f"{network['head']}"
    stride = [] if fcn else [f"output stride {network['output_stride']}"]
    if tested := card.testing.get("output_stride"):
        stride = [f"{stride[0]} in training and {tested} here"]
    words = [network["backbone"], what, *stride, f"{card.label_set.num_classes} classes"]
    scales = [f"{scale:g}" for scale in network.get("scales", [1])]
    return ", ".join([*words, *([f"scales {' '.join(scales)}"] if scales != ["1"] else [])])


def scored_on(scores):
    """The images that scores are of, in words.

    Args:
      scores: dict, what `evaluate --json_out` wrote.
    """
    settings = scores.get("settings")
    if settings is None:
        return "images not recorded"
    after = f" after the first {settings['skip']}" if settings["skip"] else ""
    return f"{settings['images']} images of the list {settings['split']}{after}"


def _scores(card):
    """The section of the scores, as a list of paragraphs."""
    if not card.scores:
        return []
    columns = [card.scores, *([card.scores["crf"]] if card.scores.get("crf") else [])]
    heads = ["IoU", "IoU with the CRF"][: len(columns)]
    rows = [["class", *heads], ["---"] * (1 + len(heads))]
    for name in card.label_set.names:
        rows.append([name, *(_figure(column["per_class_iou"][name]) for column in columns)])
    for title, key in _MEANS.items():
        rows.append([f"**{title}**", *(_figure(column[key]) for column in columns)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return ["## Scores", f"Measured by `deeplab-tf evaluate` on {scored_on(card.scores)}.", table]


def _crf(card):
    if card.crf is None:
        return []
    flags = " ".join(params_flags(card.crf_params).values())
    learned = "" if card.crf_params.compatibility is None else ", with a learned compatibility"
    return ["## CRF", f"`--crf` with this network means{learned}", f"    {flags}"]


def _training(card):
    if not card.training:
        return []
    images = ", ".join(f"{count} in {name}" for name, count in card.training["images"].items())
    about = f"Images of the lists: {images}."
    return ["## Training", f"    {card.training['command']}", about]


def _figure(value):
    return "-" if value is None else f"{value:.4f}"
