"""Compare what image labels alone teach a network with its baselines and its limit.

    deeplab-tf mil-table --data_dir=MSRC21 --weights=EFFICIENTNET_LITE0.weights.h5
    deeplab-tf mil-table --system=synthetic_mil --data_dir=runs/synthetic

scores the most frequent class everywhere, and trains and scores the same network on the same data:
by MIL from random weights, by MIL from the classifier's body without its class layer, not at all
(the classifier, see --shared_classes of `deeplab-tf train`), by MIL-FCN and EM-Adapt from the whole
classifier, and from the labels of all pixels. It writes a page with a table of the mean IoU before
and after the CRF, and a JSON file with the scores of every run.

If it is stopped, the same command continues: scored runs are not repeated, and a training
run continues from its last checkpoint.
"""

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab_tf.commands.configs import read_settings
from deeplab_tf.commands.flagfiles import find_flagfile
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.table_page import TablePage, spread
from deeplab_tf.commands.table_runs import define_table_flags, score_rows, train_and_evaluate
from deeplab_tf.data.class_weights import count_pixels
from deeplab_tf.data.datasets import label_encoding, open_dataset
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.report import score_dict
from deeplab_tf.files import write_file


class Row(NamedTuple):
    """A row of the table.

    Attributes:
      title: its name in the table.
      flags: of its training, where they differ from the system's flagfile; --train_flag does not
        change them.
      from_classifier: whether it starts from the network of the row "classifier".
    """

    title: str
    flags: tuple = ()
    from_classifier: bool = False


_TRANSFERRED = "--noshared_classes"  # of a row whose start has the classifier's scores already
BACKGROUND = "background"  # the row without a network
ROWS = {
    BACKGROUND: Row("the most frequent class everywhere"),
    "random_weights": Row("MIL from random weights", ("--weights=none", "--noshared_classes")),
    "no_classifier": Row(
        "MIL from the classifier's body, class layer random", (_TRANSFERRED, "--drop_classes"), True
    ),
    "classifier": Row("the classifier alone", ("--shared_classes", "--steps=0")),
    "mil": Row("MIL-FCN, from the classifier", (_TRANSFERRED,), True),
    "em_adapt": Row("EM-Adapt, from the classifier", (_TRANSFERRED, "--objective=em_adapt"), True),
    "oracle": Row(
        "all pixel labels, from the classifier", (_TRANSFERRED, "--objective=pixels"), True
    ),
}
# {flagfile: {row: further flags}}: a rate or number of steps for MIL does not suit every row.
SYSTEMS = {
    "msrc21_mil": {
        "random_weights": ("--nofreeze_bn", "--bn_momentum=0.9", "--learning_rate=1e-3"),
        "em_adapt": ("--background_portion=0.2",),  # class 0 of MSRC-21 is a class like the others
        "oracle": ("--learning_rate=3e-4",),
    },
    "synthetic_mil": {
        "em_adapt": (
            *("--foreground_portion=0.07", "--background_portion=0.5"),
            *("--learning_rate=3e-4", "--steps=100"),
        ),
        "oracle": ("--learning_rate=3e-4", "--steps=100"),
    },
}
# ImageNet has none of the synthetic forms: their classifier is trained, on pictures of one or two
# objects. {flagfile: that of its classifier}.
CLASSIFIERS = {"synthetic_mil": "synthetic_classifier"}


def define_flags(values):
    """Define the flags of the table."""
    define = heading(values, "MIL table")
    define.string("data_dir", None, "The system's data set.", required=True)
    define.string(
        "system",
        "msrc21_mil",
        "Flagfile of MIL, such as msrc21_mil, synthetic_mil or voc_fcn32s_mil; the other rows "
        "differ from it in their objective and in what they start from.",
    )
    define.string(
        "weights",
        "imagenet",
        "ImageNet weights with the classifier: imagenet downloads them, or a file. The forms of "
        "synthetic_mil have a classifier of their own, which is trained.",
    )
    define_table_flags(define, "runs/mil_table", ["0"], "SYSTEM.md in --runs_dir")


def main(flags):
    """Make the runs that are missing, and write the table."""
    out = flags.out or Path(flags.runs_dir) / f"{flags.system}.md"
    page = TablePage("mil-table", "What image labels teach, and their limits", flags, out)
    order = sorted(ROWS, key=lambda row: ROWS[row].from_classifier)  # the classifier before them
    found = score_rows(order, flags.seeds, partial(score, flags))
    results = {
        row: np.array([[100 * run["miou"], 100 * run["crf"]["miou"]] for run in found[row]])
        for row in ROWS
    }
    rows = {
        row: (title, (*SYSTEMS.get(flags.system, {}).get(row, ()), *changes))
        for row, (title, changes, _) in ROWS.items()
    }
    page.write(table(results), rows, found)


def score(flags, row, seed):
    """The scores of one row and seed: from its file, or by training and evaluating it.

    Returns:
      dict, what `evaluate --crf --json_out` wrote.
    """
    scores = _folder(flags, row, seed) / "scores.json"
    if not scores.is_file():
        if row == BACKGROUND:
            scores.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(one_class_scores(flags), indent=1, allow_nan=False)
            write_file(scores, f"{text}\n".encode())
        else:
            train_and_evaluate(scores.parent, training_flags(flags, row, seed), flags)
    return json.loads(scores.read_text())


def training_flags(flags, row, seed):
    """The flags of the training of a row, a list; writes the pictures of a synthetic classifier."""
    classifier = CLASSIFIERS.get(flags.system)
    shared = [f"--seed={seed}", *flags.train_flag]
    if row == "classifier" and classifier:
        objects = Path(flags.runs_dir) / "objects"
        if not objects.is_dir():
            write_synthetic(objects, num_train=2400, size=(128, 128), seed=1, num_objects=(1, 2))
        return [f"--flagfile={classifier}", f"--data_dir={objects}", *shared]
    start = f"--weights={flags.weights}"
    if ROWS[row].from_classifier:
        start = f"--init_from={_folder(flags, 'classifier', seed) / 'last.keras'}"
    further = SYSTEMS.get(flags.system, {}).get(row, ())
    system = f"--flagfile={flags.system}", f"--data_dir={flags.data_dir}", start, *further
    return [*system, *shared, *ROWS[row].flags]  # the last flag of a name counts


def _folder(flags, row, seed):
    return Path(flags.runs_dir) / f"{flags.system}-{row}-{seed}"


def one_class_scores(flags):
    """The scores, as `evaluate` writes them, of the most frequent class of the training pixels.

    It is predicted everywhere. The CRF keeps such labels, so the scores after it are the same.
    """
    settings = read_settings(find_flagfile(flags.system).read_text("utf-8"))
    dataset = settings.get("dataset", "voc")
    encoding = label_encoding(dataset, flags.data_dir)
    pixels = []
    for split, limit in (("train", None), ("val", flags.limit)):
        name = settings.get(f"{split}_split", split)
        examples, label_set = open_dataset(dataset, flags.data_dir, name)
        pixels.append(count_pixels(examples[:limit], label_set.num_classes, encoding)[0])
    confusion = ConfusionMatrix(label_set.num_classes)
    confusion.matrix[:, pixels[0].argmax()] = pixels[1]
    return score_dict(label_set, confusion, confusion)


def table(results):
    """The Markdown table of means and half ranges.

    Args:
      results: dict from row to an array (seeds, 2) in percent, before and after the CRF.

    Returns:
      str.
    """
    lines = ["| | mean IoU | with the CRF |", "|---|---|---|"]
    for row, scores in results.items():
        cells = [spread(x) for x in scores.T]
        lines.append(f"| {ROWS[row].title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
