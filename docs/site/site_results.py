"""Tables of the JSON files in docs/results, so that no figure of them is copied by hand."""

import json

MARKER = "<!-- the site has the tables of results/*.json here -->"
_SCORES = {
    "miou": "mean IoU",
    "boundary_miou": "mean boundary IoU",
    "boundary_mean_f1": "mean boundary F1",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
}
_MEANS = ["mean IoU", "with the CRF", "pixel accuracy", "with the CRF"]


def result_tables(folder):
    """Markdown tables of all JSON files of a folder, with a heading for each file.

    Args:
      folder: `pathlib.Path`, docs/results.

    Returns:
      str: for what `deeplab-tf evaluate --json_out` wrote, the scores before and after the CRF and
      the IoU of each class; for the runs of a table, such as that of `deeplab-tf ablation`, the
      scores of each run; for other files, their keys and values.
    """
    results = {path: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    sections = [overview({path.stem: result for path, result in results.items()})]
    for path, result in results.items():
        if "miou" in result:
            tables = score_tables(result)
        else:
            tables = run_tables(result) if "runs" in result else [_table(["", ""], _flat(result))]
        link = f"[{path.name}](results/{path.name})"
        sections += [f"### {path.stem}", f"All digits: {link}.", *tables]
    return "\n\n".join(sections)


def overview(results):
    """A Markdown table of the mean IoU and the pixel accuracy of several evaluations.

    Args:
      results: dict from a name to the JSON of `deeplab-tf evaluate`; others are left out.
    """
    rows = [
        [f"[{name}](#{name})", *_means(result)]
        for name, result in results.items()
        if "miou" in result
    ]
    return _table(["", *_MEANS], rows)


def run_tables(result):
    """The command and a Markdown table of the runs that it compares.

    Args:
      result: dict, the JSON file of `deeplab-tf ablation` or `deeplab-tf mil-table`.
    """
    rows = [[run["title"], run["seed"], *_means(run["scores"])] for run in result["runs"]]
    return [f"`{result['command']}`", _table(["", "seed", *_MEANS], rows)]


def score_tables(result):
    """Two Markdown tables of an evaluation: its scores, and the IoU of each class.

    Args:
      result: dict, the JSON of `deeplab-tf evaluate`.
    """
    crf = result.get("crf")
    columns = ["before the CRF", "with the CRF"] if crf else ["value"]

    def row(name, read):
        return [name, *(_number(read(scores)) for scores in (result, crf) if scores)]

    scores = [
        row(name, lambda scores, key=key: scores[key])
        for key, name in _SCORES.items()
        if key in result
    ]
    classes = [
        row(name, lambda scores, name=name: scores["per_class_iou"][name])
        for name in result["per_class_iou"]
    ]
    return [_table(["score", *columns], scores), _table(["IoU of the class", *columns], classes)]


def _means(result):
    """The columns `_MEANS` of an evaluation."""
    return [
        _number(scores.get(key))
        for key in ("miou", "pixel_accuracy")
        for scores in (result, result.get("crf", {}))
    ]


def _flat(value, name=""):
    """The numbers and texts within a value as rows of a table."""
    if isinstance(value, dict):
        parts = [(f"{name} {key}".strip(), part) for key, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{name} {number}".strip(), part) for number, part in enumerate(value, 1)]
    else:
        return [[name, _number(value)]]
    return [row for part_name, part in parts for row in _flat(part, part_name)]


def _number(value):
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(head, rows):
    align = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, align, *rows])
