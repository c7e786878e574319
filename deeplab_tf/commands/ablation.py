"""Measure what each part of DeepLab contributes: one change at a time, equal budgets.

    deeplab-tf ablation --data_dir=MSRC21 --weights=LITE0.weights.h5 [--seeds=0,1,2]

trains the system msrc21_ablation and the variants below from ImageNet weights, each with every
seed, scores them on all validation images before and after the CRF, and writes a page with a table
of the means and the orders of the papers that all seeds show, and a JSON file with the scores of
every run. --table=decoder asks whether the heads of v3 and the decoder of v3+ mend what the CRF
mends: near borders, and in classes of thin objects, with and without the CRF.

    deeplab-tf ablation --table=decoder --system=camvid_ablation --data_dir=CAMVID --weights=FILE

If it is stopped, the same command continues: scored runs are not repeated, and a training
run continues from its last checkpoint.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.table_page import TablePage, spread
from deeplab_tf.commands.table_runs import define_table_flags, score_rows, train_and_evaluate

SYSTEM = "msrc21_ablation"
# {name of the row: (its title in the table, the flags in which it differs from the first row)}.
ROWS = {
    "large_fov": ("LargeFOV", ()),
    "aspp_s": ("ASPP-S", ("--head=aspp_s",)),
    "aspp_l": ("ASPP-L", ("--head=aspp_l",)),
    "msc": ("LargeFOV, three scales", ("--scales=1,0.75,0.5",)),
    "one_scale": ("LargeFOV, no scale augmentation", ("--scale_low=1", "--scale_high=1")),
    "step": ("LargeFOV, step policy", ("--schedule=step",)),
    "narrow": ("LargeFOV, fc6 and fc7 of 1,024 filters", ("--fc_channels=1024",)),
    "wide": ("LargeFOV, fc6 and fc7 of 4,096 filters", ("--fc_channels=4096",)),
}
_SHORT = "--bn_momentum=0.9"  # moving statistics of heads with batch normalization, in short runs
DECODER_ROWS = {
    **{row: ROWS[row] for row in ("large_fov", "aspp_l")},
    "aspp_v3": ("ASPP of v3", ("--head=aspp_v3", _SHORT)),
    "v3plus": ("v3+: ASPP of v3 and decoder", ("--head=v3plus", _SHORT)),
}
TABLES = {"parts": ROWS, "decoder": DECODER_ROWS}
SUBJECTS = {
    "parts": "What each part of DeepLab v1 and v2 contributes, one change at a time",
    "decoder": "LargeFOV and ASPP beside the heads of v3 and v3+",
}
# What the papers found: (the better row, the worse row).
ORDERS = (
    *(("large_fov", "step"), ("large_fov", "one_scale"), ("msc", "large_fov")),
    *(("aspp_s", "large_fov"), ("aspp_l", "large_fov"), ("aspp_l", "aspp_s")),
    *(("aspp_v3", "aspp_l"), ("v3plus", "aspp_v3")),
)
NO_LOSS = (("narrow", "wide"),)  # (the smaller row, the larger one that is not better)
THIN = ("pole", "sign", "bicycle", "bicyclist")  # classes of thin objects in CamVid and MSRC-21


def define_flags(values):
    """Define the flags of an ablation."""
    define = heading(values, "Ablation")
    define.string("data_dir", None, "MSRC-21 or CamVid in VOC layout.", required=True)
    define.enum(
        "table",
        "parts",
        list(TABLES),
        "parts: what each part of v1 and v2 contributes to the mean IoU. decoder: LargeFOV, ASPP, "
        "v3 and v3+, also near borders and in classes of thin objects.",
    )
    define.string("system", SYSTEM, "Flagfile of the first row, such as camvid_ablation.")
    define.string(
        "weights",
        None,
        "ImageNet weights of the system's backbone: a file. EfficientNet-Lite has no download; "
        "imagenet downloads those of a system with another backbone.",
        required=True,
    )
    out = (
        "docs/ablation_table.md, with docs/results/ablation.json; for other tables or systems "
        "SYSTEM_TABLE.md in --runs_dir"
    )
    define_table_flags(define, "runs/ablation", ["0", "1", "2"], out)


def main(flags):
    """Make the runs that are missing, and write the table."""
    rows, files = TABLES[flags.table], ("docs/ablation_table.md", "docs/results/ablation.json")
    if flags.out or (flags.table, flags.system) != ("parts", SYSTEM):
        name = f"{flags.system}_{flags.table}.md"
        files = (flags.out or Path(flags.runs_dir) / name,)
    page = TablePage("ablation", SUBJECTS[flags.table], flags, *files)
    found = score_rows(rows, flags.seeds, partial(score, flags))
    parts = {
        row: [[measures(part, flags.table) for part in (run, run["crf"])] for run in runs]
        for row, runs in found.items()
    }
    texts = []
    for measure in parts["large_fov"][0][0]:
        results = {
            row: np.array([[part[measure] for part in run] for run in runs])
            for row, runs in parts.items()
        }
        texts.append(table(results, measure))
        if len(flags.seeds) > 1:
            texts.append(orders(results))
    page.write("\n".join(texts), rows, found)


def score(flags, row, seed):
    """The scores of one row and seed: from its file, or by training and evaluating it.

    Returns:
      dict, what `evaluate --crf --json_out` wrote.
    """
    name = f"{row}-{seed}" if flags.system == SYSTEM else f"{flags.system}-{row}-{seed}"
    folder = Path(flags.runs_dir) / name
    scores = folder / "scores.json"
    if not scores.is_file():
        data = f"--data_dir={flags.data_dir}"
        rows = TABLES[flags.table]
        changes = (*rows[row][1], f"--weights={flags.weights}", f"--seed={seed}", *flags.train_flag)
        train_and_evaluate(folder, [f"--flagfile={flags.system}", data, *changes], flags)
    return json.loads(scores.read_text())


def measures(content, table):
    """What a table compares, from the scores that `evaluate --json_out` wrote.

    Args:
      content: dict of scores, before or after the CRF.
      table: a key of `TABLES`.

    Returns:
      {title: percent}; classes of thin objects only if the data set has some.
    """
    found = {"mean IoU": content["miou"]}
    if table == "decoder":
        found["boundary IoU"] = content["boundary_miou"]
        thin = {name: content["per_class_iou"].get(name) for name in THIN}
        thin = {name: iou for name, iou in thin.items() if iou is not None}
        if thin:
            found[f"mean IoU of {', '.join(thin)}"] = sum(thin.values()) / len(thin)
    return {title: 100 * value for title, value in found.items()}


def orders(results):
    """The Markdown list of `ORDERS`, `NO_LOSS` and the CRF's gain, each shown by all seeds or not.

    Args:
      results: as for `table`, of several seeds.

    Returns:
      str.
    """
    lines = ["In the papers, and here (before the CRF, unless it is named):", ""]
    for better, worse in ORDERS:
        if better in results and worse in results:
            differences = results[better][:, 0] - results[worse][:, 0]
            title = f"{_title(better)} over {_title(worse)}"
            lines.append(f"- {title}: {_shown(differences)}")
    for smaller, larger in NO_LOSS:
        if smaller in results and larger in results:
            differences = results[smaller][:, 0] - results[larger][:, 0]
            title = f"{_title(smaller)}: no loss against {_title(larger)}"
            lines.append(f"- {title}: {_shown(differences, or_equal=True)}")
    for row, scores in results.items():
        lines.append(f"- {_title(row)} gains by the CRF: {_shown(scores[:, 1] - scores[:, 0])}")
    return "\n".join(lines) + "\n"


def _title(row):
    return (ROWS | DECODER_ROWS)[row][0]


def _shown(differences, or_equal=False):
    if (differences > 0).all() or (or_equal and (differences >= 0).all()):
        return "shown by every seed"
    return "reversed by every seed" if (differences < 0).all() else "within the spread of the seeds"


def table(results, measure="mean IoU"):
    """The Markdown table of means and half ranges; differences are taken seed by seed.

    Args:
      results: dict from row to an array (seeds, 2) in percent, before and after the CRF.
      measure: what the numbers are.

    Returns:
      str.
    """
    base = results["large_fov"]
    lines = [
        f"| | {measure} | with the CRF | against LargeFOV | gain of the CRF |",
        "|---|---|---|---|---|",
    ]
    for row, scores in results.items():
        cells = [spread(x) for x in scores.T]
        differences = scores[:, 0] - base[:, 0], scores[:, 1] - scores[:, 0]
        cells += [spread(x, sign="+") for x in differences]
        lines.append(f"| {_title(row)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
