"""What an evaluation prints and writes: tables, JSON, a picture, plots, and the report's page."""

import datetime
import json
import shlex
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

import deeplab_tf
from deeplab_tf.commands.flags.crf import CRF_FLAGS
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import recorded_settings
from deeplab_tf.commands.outputs import (
    beside_model,
    check_jinja,
    check_output_files,
    command_line,
    network_name,
    print_next,
    print_written,
)
from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.commands.recall import DATA_FLAGS, SETTING_FLAGS, not_remembered
from deeplab_tf.evaluation.boundary import TRIMAP_BORDERS
from deeplab_tf.evaluation.image_choice import choose_images
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.report import (
    boundary_table,
    comparison_panel,
    score_dict,
    score_table,
    trimap_table,
)
from deeplab_tf.files import check_new_folder, new_folder, write_file
from deeplab_tf.models.locate import locate_model
from deeplab_tf.visualize import encode_picture

PAGE = "index.html"


def define_output_flags(values):
    """Define the flags of the files with scores, pictures and plots."""
    define = heading(values, "Output")
    define.string("json_out", None, "File for the scores, as JSON.")
    define.string("panel_out", None, "PNG file for a picture of some images and results.")
    define.integer("panel_rows", 4, "Number of images in that picture.", lower_bound=1)
    define.bool(
        "trimap",
        False,
        "Also score only the pixels near borders, for every distance from 1 to 40 pixels, and "
        "plot the scores over it.",
    )
    define.enum(
        "trimap_border",
        "any",
        list(TRIMAP_BORDERS),
        "Which borders --trimap measures the distance from. any: those to void or another class. "
        "void: those to void alone, as in the papers, for labels with a void band around every "
        "object.",
    )
    define.string(
        "trimap_out",
        None,
        "Name of the plot of --trimap: FILE for FILE.svg and FILE.png. Default: trimap in the "
        "folder of --report_out, without it in that of --model; MODEL_trimap for a network that "
        "comes with the package.",
    )
    define.string(
        "report_out",
        None,
        "New folder for a report on one HTML page: all scores, those of --trimap too, confusions, "
        "calibration, and the images that are most worth looking at.",
    )


def check_output_flags(flags):
    """Raise an `InputError` before the evaluation if an output cannot be written at its end."""
    if not flags.trimap and not flags.report_out:
        names = "trimap_border", "trimap_out"
        refuse_given(flags, names, "has no effect without --trimap; add it")
    if flags.report_out:
        check_jinja("report_out")
        check_new_folder(flags.report_out, flags.overwrite)
    check_output_files(flags.json_out, flags.panel_out, *_trimap_files(flags))


def trimap_border(flags):
    """The border of the trimaps to score; None if they are not asked for."""
    return flags.trimap_border if flags.trimap or flags.report_out else None


def write_results(flags, label_set, results, shown, settings):
    """Print the tables, and write the files of --json_out, --panel_out and --trimap.

    Args:
      flags: the parsed flags.
      label_set: `LabelSet` of the data set.
      results: list of `ResultScores`, before and after the CRF.
      shown: the images of the panel, see `comparison_panel`.
      settings: dict for --json_out: what was scored, and how.
    """
    if flags.panel_out:
        write_file(flags.panel_out, encode_picture(comparison_panel(label_set, shown)))
    if flags.json_out:
        scores = {**score_dict(label_set, *results), "settings": settings}
        text = json.dumps(scores, indent=1, allow_nan=False)
        write_file(flags.json_out, f"{text}\n".encode())
    plots = _trimap_files(flags)
    if plots:
        _write_trimap(plots, results)
    print(score_table(label_set, *(result.confusion for result in results)))
    print()
    print(boundary_table(label_set, *(result.boundary for result in results)))
    if results[0].trimap:
        print()
        print(trimap_table(*(result.trimap for result in results)))
    print_written(flags.json_out, flags.panel_out, *plots)


def make_cards(model, examples, label_set, params, encoding, results, settings):
    """Choose the images of the report, and predict them once more to draw them.

    Args:
      model, params, encoding: see `predict_examples`.
      examples: list of all examples.
      label_set: `LabelSet` of the data set.
      results: list of `ResultScores` of all examples.
      settings: of `predict_examples`.

    Returns:
      (list of `Group`, dict from the index of an image to its `Card`).
    """
    from deeplab_tf.evaluation.html_report import make_card  # slow to import

    groups = choose_images(*(result.image_mious for result in results))
    chosen = sorted({index for group in groups for index in group.images})
    found = predict_examples(
        model, [examples[index] for index in chosen], params, encoding, **settings
    )
    found = tqdm(found, total=len(chosen), unit="image", desc="report")
    cards = [make_card(prediction, label_set) for prediction in found]
    return groups, dict(zip(chosen, cards, strict=True))


def write_report(flags, label_set, results, groups, cards, measured):
    """Write the folder of --report_out.

    Args:
      flags: the parsed flags.
      label_set: `LabelSet` of the data set.
      results: list of `ResultScores`, before and after the CRF.
      groups, cards: what `make_cards` gives.
      measured: dict: what was scored, and how.
    """
    from deeplab_tf.evaluation.html_report import Report, render  # needs Jinja2, slow to import

    data = Path(flags.data_dir).absolute().name
    report = Report(
        title=f"{network_name(flags.model)} on {data}, {flags.split}",
        command=command_line("evaluate", *given_flags(flags)),
        settings=_settings(flags, measured),
        label_set=label_set,
        before=results[0],
        after=results[1] if len(results) > 1 else None,
        groups=groups,
        cards=cards,
    )
    written = [PAGE]
    with new_folder(flags.report_out, flags.overwrite) as folder:
        write_file(folder / PAGE, render(report).encode())
        if not flags.trimap_out:
            plots = _plot_files(folder / "trimap")
            _write_trimap(plots, results)
            written += [plot.name for plot in plots]
    print_written(*(Path(flags.report_out, name) for name in written))


def score_settings(flags, examples, params):
    """What the scores were measured on and how, for --json_out and the page of --report_out.

    Args:
      flags: the parsed flags.
      examples: the images that were scored.
      params: `CRFParams`, or None.

    Returns:
      dict that JSON can hold.
    """
    return {
        "split": flags.split,
        "skip": flags.skip,
        "images": len(examples),
        **recorded_settings(flags),
        **({"crf_max_memory": flags.crf_max_memory} if flags.crf_max_memory else {}),
        "crf": asdict(params) if params else None,
    }


def print_following(flags, examples):
    """Print the next command: a search of CRF parameters, or with --crf a prediction."""
    if flags.server:
        if flags.server != "cityscapes":  # VOC's server takes an archive of the folder "results"
            pack = ["tar", "czf", "results.tgz", "-C", flags.predictions_out, "results"]
            print(f"next: {shlex.join(pack)}")
        return
    model, settings = f"--model={flags.model}", not_remembered(flags, (*SETTING_FLAGS, "head_name"))
    if not flags.crf and examples[0].label:
        data = not_remembered(flags, DATA_FLAGS)
        # Half of the images at most, so that others are left to score the result on.
        limit = f"--limit={max(1, min(100, len(examples) // 2))}"
        out = f"--out_dir={beside_model(flags, 'crf_search')}"
        print_next("search-crf", model, *data, *settings, limit, out)
        return
    print_predict(flags, examples, *settings, *not_remembered(flags, CRF_FLAGS))


def print_predict(flags, examples, *words):
    """Print the command that predicts the first of the images with --model and further flags."""
    image = examples[0].image if Path(examples[0].image).is_file() else "IMAGE"
    out = f"--out_dir={beside_model(flags, 'predictions')}"
    print_next("predict", f"--model={flags.model}", *words, out, image)


def _settings(flags, measured):
    """The rows of the page's last table, {name: text}."""
    crf, rest = measured["crf"] or {}, dict(measured)
    now = datetime.datetime.now().astimezone()
    return {
        "model": str(locate_model(flags.model)),
        "data set": f"{flags.dataset}, {flags.data_dir}",
        "images": f"{rest.pop('images')} of {rest.pop('split')}",
        **{name: _as_text(value) for name, value in (rest | {"crf": bool(crf)}).items()},
        **{f"crf_{name}": _as_text(value) for name, value in crf.items()},
        "trimap_border": flags.trimap_border,
        "versions": f"DeepLab {deeplab_tf.__version__}, TensorFlow {tf.__version__}",
        "written": f"{now:%Y-%m-%d %H:%M %Z}",
    }


def _as_text(value):
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        nested = isinstance(value[0], tuple)  # a compatibility, too large for the table
        return "learned" if nested else ", ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _trimap_files(flags):
    """The files of the plot outside the folder of --report_out; none if it is in there."""
    if flags.trimap_out:
        name = Path(flags.trimap_out)
        return _plot_files(name.with_suffix("") if name.suffix in (".svg", ".png") else name)
    if flags.trimap and not flags.report_out:
        return _plot_files(beside_model(flags, "trimap"))
    return []


def _plot_files(name):
    """The files of a plot, whose path lacks its extension."""
    return [name.with_name(f"{name.name}.{kind}") for kind in ("svg", "png")]


def _write_trimap(files, results):
    from deeplab_tf.evaluation import plots  # slow to import

    with plots.style():
        figure = plots.trimap_figure(*(result.trimap for result in results))
        for file in files:
            write_file(file, plots.encode(figure, file.suffix[1:]))
