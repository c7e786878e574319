"""`evaluate` of a network that predicts depth."""

import contextlib
import json

from tqdm import tqdm

from deeplab_tf.commands.agreement import run_facts
from deeplab_tf.commands.evaluation_outputs import print_predict
from deeplab_tf.commands.flags.crf import CRF_FLAGS
from deeplab_tf.commands.flags.data import skip_first
from deeplab_tf.commands.flags.depth import depth_settings, open_depth
from deeplab_tf.commands.flags.heading import refuse_given
from deeplab_tf.commands.flags.model import recorded_settings
from deeplab_tf.commands.outputs import print_written
from deeplab_tf.commands.recall import SETTING_FLAGS, not_remembered
from deeplab_tf.distribute.agreement import check_agreement
from deeplab_tf.distribute.strategy import (
    is_chief,
    lost_worker_is_error,
    wait_for_workers,
    worker,
)
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.depth import predict_depths
from deeplab_tf.evaluation.depth_errors import DepthErrors
from deeplab_tf.evaluation.depth_pictures import depth_panel, depth_png
from deeplab_tf.evaluation.predictions import shared_folder
from deeplab_tf.files import check_new_folder, write_file
from deeplab_tf.visualize import encode_picture

# The flags that are about classes.
CLASS_FLAGS = (*CRF_FLAGS, "trimap", "trimap_border", "trimap_out", "report_out", "server")


def evaluate_depth(flags, model, strategy):
    """Compare the depth of all images with their depth maps, and print the errors.

    Args:
      flags: the parsed flags of `evaluate`.
      model: the network.
      strategy: the `tf.distribute.Strategy` whose workers share the images.

    Raises:
      InputError: if a flag makes no sense, an image cannot be used, or workers differ.
    """
    settings = depth_settings(flags, CLASS_FLAGS)
    if flags.predictions_out:
        check_new_folder(flags.predictions_out, flags.overwrite)
    else:
        refuse_given(flags, ["overwrite"], "has no effect without --predictions_out; add it")
    examples, label_set = open_depth(flags, flags.split)
    examples = skip_first(flags, examples)[: flags.limit]
    index, count = worker(strategy)
    part = examples[index::count]
    errors, rows = DepthErrors(), []
    shown_every = max(1, -(-len(part) // flags.panel_rows))
    lists = {flags.split: examples}
    with lost_worker_is_error(strategy):
        check_agreement(strategy, lambda: run_facts(flags, lists, label_set, model))
        folder = contextlib.nullcontext()
        if flags.predictions_out:
            folder = shared_folder(strategy, flags.predictions_out, flags.overwrite)
        with folder as predictions:
            found = predict_depths(model, part, **settings)
            bar = tqdm(found, total=len(part), unit="image", disable=not is_chief(strategy))
            for number, (example, image, truth, depth) in enumerate(bar):
                errors.add(truth, depth)
                if flags.panel_out and number % shown_every == 0:
                    rows.append((image, truth, depth))
                if predictions:
                    write_file(predictions / f"{example.name}.png", depth_png(depth))
        errors.sum_over_workers(strategy)
        if is_chief(strategy):
            write_results(flags, errors, rows, len(examples))
            print_predict(flags, examples, *not_remembered(flags, SETTING_FLAGS))
        wait_for_workers(strategy)  # those that end early would take the first one with them


def write_results(flags, errors, rows, num_images):
    """Print the errors, and write the files of --json_out and --panel_out."""
    if not errors.pixels:
        raise InputError(
            f"the depth maps of {flags.split} in {flags.data_dir} tell no depth to compare with; "
            "give another list"
        )
    if flags.panel_out:
        write_file(flags.panel_out, encode_picture(depth_panel(rows)))
    if flags.json_out:
        measured = {"split": flags.split, "skip": flags.skip, "images": num_images}
        scores = {**errors.to_dict(), "settings": {**measured, **recorded_settings(flags)}}
        text = json.dumps(scores, indent=1, allow_nan=False)
        write_file(flags.json_out, f"{text}\n".encode())
    print(errors.table())
    if flags.predictions_out:
        print(f"predictions: {flags.predictions_out}")
    print_written(flags.json_out, flags.panel_out)
