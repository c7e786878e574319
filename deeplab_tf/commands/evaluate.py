"""Score a trained network on a data set, before and after the CRF in one pass.

    deeplab-tf evaluate --model=M --crf

prints the IoU, boundary IoU and boundary F1 of every class and the mean scores on the validation
images that M was trained with; --dataset, --data_dir and --split name others. --json_out writes the
scores to a file, --panel_out a picture of some images with truth and results.

    deeplab-tf evaluate --model=M --crf --report_out=DIR

also writes DIR/index.html, a page with all scores, plots, and the images that are most worth
looking at. --trimap scores and plots only the pixels near borders.

    deeplab-tf evaluate --model=M --data_dir=D --split=test --crf --predictions_out=P --server=voc

writes the predicted labels of all images, even if only a test server has the true ones.

A network with several score heads is scored in one pass, each head by itself; --head_name=NAME
scores one head alone, with everything that a network with one head can have.

A network that was trained with --objective=depth is scored by the errors of its depth maps.

With --strategy=multi_worker, start the command once for each worker in TF_CONFIG: every worker
processes its part of the images, and the first one prints and writes the result of all. With
--runner=ray, workers on the machines of a Ray cluster score parts of the images.
"""

import contextlib

from tqdm import tqdm

from deeplab_tf import __version__
from deeplab_tf.commands.agreement import run_facts
from deeplab_tf.commands.evaluate_depth import evaluate_depth
from deeplab_tf.commands.evaluate_heads import evaluate_heads
from deeplab_tf.commands.evaluate_on_ray import evaluate_on_ray
from deeplab_tf.commands.evaluation_outputs import (
    check_output_flags,
    define_output_flags,
    make_cards,
    print_following,
    score_settings,
    trimap_border,
    write_report,
    write_results,
)
from deeplab_tf.commands.flags.crf import crf_memory, crf_params, define_crf_flags
from deeplab_tf.commands.flags.data import (
    check_same_classes,
    define_data_flags,
    open_split,
    skip_first,
    warn_of_names,
)
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import (
    define_model_flags,
    define_size_flags,
    open_any_model,
    segment_settings,
)
from deeplab_tf.commands.flags.runner import define_runner_flags, is_on_ray
from deeplab_tf.commands.recall import recall_for_model
from deeplab_tf.distribute.agreement import check_agreement
from deeplab_tf.distribute.strategy import (
    is_chief,
    lost_worker_is_error,
    make_strategy,
    wait_for_workers,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.predictions import SERVERS, PredictionFiles, shared_folder
from deeplab_tf.evaluation.result_scores import ResultScores, add_prediction
from deeplab_tf.files import check_new_folder
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.scale.scorer import ScoreJob
from deeplab_tf.scale.session import import_ray


def define_flags(values):
    """Define the flags of an evaluation."""
    define_model_flags(values)
    define_size_flags(values)
    define_data_flags(values, remembered_by="--model", with_input=True)
    define = heading(values, "Data set")
    define.string(
        "split",
        "val",
        "List of the images to score; the --val_split of the model's run replaces the default.",
    )
    define.integer("skip", 0, "Leave out this many images at the beginning.", lower_bound=0)
    define.integer(
        "limit", None, "Score only this many images, after those of --skip.", lower_bound=1
    )
    define_crf_flags(values, with_memory=True)
    define_output_flags(values)
    define = heading(values, "Output")
    define.string(
        "predictions_out",
        None,
        "New folder for the labels of every image, after the CRF with --crf: NAME.png, or the "
        "format of --server.",
    )
    define.enum(
        "server",
        None,
        list(SERVERS),
        "Write --predictions_out in a test server's format. voc: palette PNGs in "
        "results/VOC2012/Segmentation/comp6_SPLIT_cls. voc_comp5: in comp5_SPLIT_cls, for networks "
        "trained on VOC's own images only. cityscapes: PNGs with its label ids.",
    )
    define.bool(
        "overwrite", False, "Replace the folders --predictions_out and --report_out if they exist."
    )
    define = heading(values, "Machine")
    define.enum(
        "strategy",
        "none",
        ["none", "multi_worker"],
        "none: this process alone. multi_worker: all processes that TF_CONFIG names, each with its "
        "part of the images; --predictions_out must be on a file system that all of them share.",
    )
    define_runner_flags(values)


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Evaluate as the flags say."""
    on_ray = is_on_ray(flags)
    if on_ray:
        refuse_given(flags, ("strategy",), "has no effect with --runner=ray; leave it out")
        import_ray()
    strategy = make_strategy(flags.strategy, versions={"DeepLab": __version__})
    index, count = worker(strategy)
    if is_chief(strategy):
        check_output_flags(flags)
    model, trained = open_any_model(flags)
    if predicts_depth(model):
        evaluate_depth(flags, model, strategy)
        return
    if isinstance(trained, HeadLabels):
        evaluate_heads(flags, model, trained)
        return
    params = crf_params(flags, model.output_shape[-1])
    examples, label_set, encoding = open_examples(flags, model.output_shape[-1])
    lists = {flags.split: examples}
    with lost_worker_is_error(strategy):
        check_agreement(strategy, lambda: run_facts(flags, lists, label_set, model))
    files = plan_predictions(flags, examples, label_set)
    if is_chief(strategy):
        warn_of_names(flags, trained, label_set)

    with_report, settings = bool(flags.report_out), segment_settings(flags)
    settings["max_memory"] = crf_memory(flags)
    results = [
        ResultScores(label_set.num_classes, len(examples), trimap_border(flags), with_report)
        for _ in range(2 if params else 1)
    ]
    part = range(index, len(examples), count)  # this worker's
    # Rounded up, so that at most --panel_rows images are kept.
    shown_every = max(1, -(-len(part) // flags.panel_rows)) if flags.panel_out else None
    folder = contextlib.nullcontext()
    with lost_worker_is_error(strategy):
        if files:
            folder = shared_folder(strategy, flags.predictions_out, flags.overwrite)
        with folder as predictions:
            if on_ray:
                job = ScoreJob(
                    label_set.num_classes, len(results), params, encoding, settings,
                    trimap_border(flags), with_report, shown_every, bool(files),
                )  # fmt: skip
                shown = evaluate_on_ray(flags, job, examples, results, files, predictions)
            else:
                chosen = [examples[i] for i in part]
                found = predict_examples(model, chosen, params, encoding, with_report, **settings)
                bar = tqdm(found, total=len(part), unit="image", disable=not is_chief(strategy))
                found = zip(part, bar, strict=True)
                shown = score_images(found, results, shown_every, files, predictions)
            for result in results:
                result.sum_over_workers(strategy)
        if is_chief(strategy):
            if files:
                print(f"predictions: {flags.predictions_out}")
            measured = score_settings(flags, examples, params)
            if examples[0].label:
                write_results(flags, label_set, results, shown, measured)
            if with_report:
                drawn = make_cards(model, examples, label_set, params, encoding, results, settings)
                write_report(flags, label_set, results, *drawn, measured)
            print_following(flags, examples)
        wait_for_workers(strategy)  # those that end early would take the first one with them


def open_examples(flags, num_classes):
    """Open the data set: the chosen examples, its classes, and the encoding of its labels."""
    examples, label_set, encoding = open_split(flags, flags.split, need_labels=False)
    labeled = [example for example in examples if example.label]
    if labeled and len(labeled) < len(examples):
        open_split(flags, flags.split)  # raises an error that names the missing label
    check_same_classes(flags, num_classes, label_set)
    return skip_first(flags, examples)[: flags.limit], label_set, encoding


def plan_predictions(flags, examples, label_set):
    """The `PredictionFiles` of --predictions_out, or None; `InputError` if it cannot be done."""
    if not examples[0].label:
        if not flags.predictions_out:
            raise InputError(
                f"the images of {flags.split} in {flags.data_dir} have no labels to score "
                "against; add labels, or give --predictions_out to write the network's labels"
            )
        for name in ("json_out", "panel_out", "trimap", "report_out"):
            if flags[name].value:
                raise InputError(
                    f"--{name}: the images of {flags.split} have no labels; leave it out"
                )
    if not flags.predictions_out:
        refuse_given(flags, ("server",), "has no effect without --predictions_out; add it")
        if not flags.report_out:
            others = "--predictions_out or --report_out; add one of them"
            refuse_given(flags, ("overwrite",), f"has no effect without {others}")
        return None
    files = PredictionFiles(label_set, flags.split, flags.server)
    files.check_names(example.name for example in examples)
    check_new_folder(flags.predictions_out, flags.overwrite)
    return files


def score_images(found, results, shown_every, files, predictions):
    """Add the predictions of all images to the scores, and write their labels.

    Args:
      found: iterable of (index of the image among all, `Prediction`).
      results: list of `ResultScores`, before and after the CRF, which are updated.
      shown_every: one of this many images is kept for the picture; None: no picture.
      files: `PredictionFiles`, or None to write no labels.
      predictions: folder to write them to.

    Returns:
      The images for the picture, a list of (image, truth, *labels).
    """
    shown = []
    for number, (index, prediction) in enumerate(found):
        add_prediction(results, index, prediction)
        if shown_every and number % shown_every == 0:
            shown.append((prediction.image, prediction.truth, *prediction.labels))
        if files:
            files.write(predictions, prediction.example.name, prediction.labels[-1])
    return shown
