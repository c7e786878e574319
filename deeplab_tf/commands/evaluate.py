"""Score a trained network on a data set, before and after the CRF in one pass.

    python tools/evaluate.py --model=M --dataset=voc --data_dir=D --split=val --crf

prints the IoU of every class and the mean scores; --json_out writes them to a file, --panel_out
a picture of some images with truth and results.

    python tools/evaluate.py --model=M --data_dir=D --split=test --crf --predictions_out=P \
        --server=voc

writes the labels of a split, which may be one whose truth only a test server has.

With --strategy=multi_worker, started once for each worker that TF_CONFIG names, every worker takes
its part of the images, and the first prints and writes the result of all.
"""

import contextlib
import json

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from tqdm import tqdm

from deeplab_tf.commands.flags import crf_flags, data_flags, model_flags
from deeplab_tf.commands.output_files import check_output_files
from deeplab_tf.distribute.strategy import (
    is_chief,
    lost_worker_is_error,
    make_strategy,
    sum_over_workers,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.predictions import SERVERS, PredictionFiles, shared_folder
from deeplab_tf.evaluation.report import comparison_panel, score_dict, score_table
from deeplab_tf.files import check_new_folder, write_file
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import encode_picture

FLAGS = flags.FLAGS

model_flags.define_size_flags()
flags.DEFINE_string("split", "val", "List of the images to score.")
flags.DEFINE_integer("skip", 0, "Leave out the first so many images.", lower_bound=0)
flags.DEFINE_integer(
    "limit", None, "Score only the first so many images, after those of --skip.", lower_bound=1
)
flags.DEFINE_string("json_out", None, "File for the scores, as JSON.")
flags.DEFINE_string("panel_out", None, "PNG file for a picture of some images and results.")
flags.DEFINE_integer("panel_rows", 4, "Images in that picture.", lower_bound=1)
flags.DEFINE_string(
    "predictions_out",
    None,
    "New folder for the labels of every image, those after the CRF where there is one: NAME.png, "
    "or as --server has it.",
)
flags.DEFINE_enum(
    "server",
    None,
    list(SERVERS),
    "Test server that --predictions_out is for. voc: palette PNGs in "
    "results/VOC2012/Segmentation/comp6_SPLIT_cls; voc_comp5: in comp5_SPLIT_cls, for networks "
    "trained on VOC's own images alone; cityscapes: PNGs with its label ids.",
)
flags.DEFINE_bool("overwrite", False, "Replace a folder at --predictions_out.")
flags.DEFINE_enum(
    "strategy",
    "none",
    ["none", "multi_worker"],
    "none: this process alone; multi_worker: it and the others that TF_CONFIG names, each with its "
    "part of the images. --predictions_out must then be seen by all.",
)


def open_examples(num_classes):
    """Open the data set of the flags: examples, classes, and the colours of RGB labels."""
    examples, label_set, colors = data_flags.open_split(FLAGS.split, need_labels=False)
    labelled = [example for example in examples if example.label]
    if labelled and len(labelled) < len(examples):
        data_flags.open_split(FLAGS.split)  # says which label is missing
    if label_set.num_classes != num_classes:
        raise InputError(
            f"model {FLAGS.model} has {num_classes} classes but the data set {FLAGS.data_dir}"
            f" has {label_set.num_classes}; give the data set that the model was trained for"
        )
    if FLAGS.skip >= len(examples):
        raise InputError(
            f"--skip={FLAGS.skip}: nothing is left of the {len(examples)} images of {FLAGS.split}"
        )
    return examples[FLAGS.skip :][: FLAGS.limit], label_set, colors


def warn_of_names(trained, label_set):
    """Print a line where the data set's classes are not called as those of the model.

    Args:
      trained: `LabelSet` of the model.
      label_set: `LabelSet` of the data set, of as many classes.
    """
    if trained.names == LabelSet.generic(trained.num_classes).names:
        return  # nobody has named them
    for index, names in enumerate(zip(trained.names, label_set.names, strict=True)):
        if names[0] != names[1]:
            print(
                f"warning: class {index} is {names[0]!r} to the model {FLAGS.model} but"
                f" {names[1]!r} in the data set {FLAGS.data_dir}; the scores mean something only"
                " if that is the same"
            )
            return


def plan_predictions(examples, label_set):
    """The `PredictionFiles` of --predictions_out, or None; refuses what cannot be done."""
    if not examples[0].label:
        _refuse_scores()
    if not FLAGS.predictions_out:
        for name in ("server", "overwrite"):
            if FLAGS[name].present:
                raise InputError(f"--{name} has no effect without --predictions_out")
        return None
    files = PredictionFiles(label_set, FLAGS.split, FLAGS.server)
    files.check_names(example.name for example in examples)
    check_new_folder(FLAGS.predictions_out, FLAGS.overwrite)
    return files


def _refuse_scores():
    if not FLAGS.predictions_out:
        raise InputError(
            f"the images of {FLAGS.split} in {FLAGS.data_dir} have no labels to score against; "
            "add the labels, or give --predictions_out to write what the network finds"
        )
    for name in ("json_out", "panel_out"):
        if FLAGS[name].value:
            raise InputError(f"--{name}: the images of {FLAGS.split} have no labels; leave it out")


def evaluate(found, every, confusions, files, predictions):
    """Count and write what was found in the images.

    Args:
      found: iterable of `Labelled`.
      every: the first of so many images each goes into the picture.
      confusions: a `ConfusionMatrix` for each of an image's labels, which is added to.
      files: `PredictionFiles`, or None where nothing is written.
      predictions: folder to write to.

    Returns:
      The images for the picture, a list of (image, truth, *labels).
    """
    shown = []
    for index, (example, image, truth, labels) in enumerate(found):
        if truth is not None:
            for confusion, label in zip(confusions, labels, strict=True):
                confusion.add(truth, label)
        if index % every == 0 and FLAGS.panel_out:
            shown.append((image, truth, *labels))
        if files:
            files.write(predictions, example.name, labels[-1])
    return shown


def write_results(label_set, confusions, shown):
    """Print the table, and write the files of --json_out and --panel_out."""
    if FLAGS.panel_out:
        write_file(FLAGS.panel_out, encode_picture(comparison_panel(label_set, shown)))
    if FLAGS.json_out:
        scores = json.dumps(score_dict(label_set, *confusions), indent=1, allow_nan=False)
        write_file(FLAGS.json_out, f"{scores}\n".encode())
    print(score_table(label_set, *confusions))


def main():
    """Evaluate as the flags say."""
    strategy = make_strategy(FLAGS.strategy)
    index, count = worker(strategy)
    model, trained = model_flags.open_model()
    params = crf_flags.crf_params(model.output_shape[-1])
    examples, label_set, colors = open_examples(model.output_shape[-1])
    files = plan_predictions(examples, label_set)
    if is_chief(strategy):
        warn_of_names(trained, label_set)
        check_output_files(FLAGS.json_out, FLAGS.panel_out)

    confusions = [ConfusionMatrix(label_set.num_classes) for _ in range(2 if params else 1)]
    part = examples[index::count]
    found = predict_examples(model, part, params, colors, **model_flags.segment_settings())
    bar = tqdm(found, total=len(part), unit="image", disable=not is_chief(strategy))
    every = max(1, -(-len(part) // FLAGS.panel_rows))
    folder = contextlib.nullcontext()
    with lost_worker_is_error(strategy):
        if files:
            folder = shared_folder(strategy, FLAGS.predictions_out, FLAGS.overwrite)
        with folder as predictions:
            shown = evaluate(bar, every, confusions, files, predictions)
            for confusion in confusions:
                confusion.matrix = sum_over_workers(strategy, confusion.matrix)
    if not is_chief(strategy):
        return
    if files:
        print(f"predictions: {FLAGS.predictions_out}")
    if examples[0].label:
        write_results(label_set, confusions, shown)


if __name__ == "__main__":
    run(main)
