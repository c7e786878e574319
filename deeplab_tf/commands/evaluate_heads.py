"""`evaluate` of a network with several score heads: every head by its own metrics, in one pass."""

import contextlib
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deeplab_tf.commands.evaluation_outputs import print_predict, score_settings
from deeplab_tf.commands.flags.crf import crf_params
from deeplab_tf.commands.flags.data import open_split, skip_first, warn_of_names
from deeplab_tf.commands.flags.heading import refuse_given
from deeplab_tf.commands.flags.heads import refuse_of_one_head
from deeplab_tf.commands.flags.model import segment_settings
from deeplab_tf.commands.outputs import print_written
from deeplab_tf.commands.recall import SETTING_FLAGS, not_remembered
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.predictions import PredictionFiles
from deeplab_tf.evaluation.report import boundary_table, score_dict, score_table
from deeplab_tf.evaluation.result_scores import ResultScores
from deeplab_tf.files import check_new_folder, new_folder, write_file

# The flags of what is made for one label space.
_OF_ONE_HEAD = ("crf", "trimap", "report_out", "panel_out", "server", "strategy")


def evaluate_heads(flags, model, trained):
    """Evaluate as the flags of `evaluate` say.

    Args:
      flags: the parsed flags.
      model: network with several score heads.
      trained: its `HeadLabels`.

    Raises:
      InputError: for a flag that needs --head_name, or data without the labels of all heads.
    """
    refuse_of_one_head(flags, _OF_ONE_HEAD, trained.heads)
    crf_params(flags, trained.num_classes)  # refuses its other flags
    if not flags.predictions_out:
        refuse_given(flags, ("overwrite",), "has no effect without --predictions_out; add it")
    examples, labels, _ = open_split(flags, flags.split, heads=trained.sizes)
    examples = skip_first(flags, examples)[: flags.limit]
    for head, label_set in labels.items():
        warn_of_names(flags, trained.of(head), label_set)
    files, folder = {}, contextlib.nullcontext()
    if flags.predictions_out:
        files = {head: PredictionFiles(each, flags.split) for head, each in labels.items()}
        check_new_folder(flags.predictions_out, flags.overwrite)
        folder = new_folder(flags.predictions_out, flags.overwrite)
    results = [ResultScores(size, len(examples)) for size in labels.sizes.values()]
    with folder as predictions:
        found = predict_examples(model, examples, **segment_settings(flags))
        for index, one in enumerate(tqdm(found, total=len(examples), unit="image")):
            for number, (head, result) in enumerate(zip(labels.heads, results, strict=True)):
                truth, label = (
                    np.ascontiguousarray(x[..., number]) for x in (one.truth, *one.labels)
                )
                result.add(index, truth, label)
                if head in files:
                    files[head].write(Path(predictions, head), one.example.name, label)
    if flags.predictions_out:
        print(f"predictions: {flags.predictions_out}")
    write_head_results(flags, labels, results, score_settings(flags, examples, None))
    print_predict(flags, examples, *not_remembered(flags, SETTING_FLAGS))


def write_head_results(flags, labels, results, settings):
    """Print the tables of every head, and write the file of --json_out.

    Args:
      flags: the parsed flags.
      labels: `HeadLabels`.
      results: the `ResultScores` of each head.
      settings: dict for --json_out: what was scored, and how.
    """
    if flags.json_out:
        heads = {
            head: score_dict(label_set, result)
            for (head, label_set), result in zip(labels.items(), results, strict=True)
        }
        text = json.dumps({"heads": heads, "settings": settings}, indent=1, allow_nan=False)
        write_file(flags.json_out, f"{text}\n".encode())
    for (head, label_set), result in zip(labels.items(), results, strict=True):
        print(f"head {head}\n{score_table(label_set, result.confusion)}\n")
        print(f"{boundary_table(label_set, result.boundary)}\n")
    print_written(flags.json_out)
