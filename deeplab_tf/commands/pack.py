"""Pack a trained network into a small file to hand out, with a card that says what it is.

    deeplab-tf evaluate --model=M --crf --flagfile=R/best_crf.flags --json_out=scores.json
    deeplab-tf pack --model=M --scores=scores.json --notes=notes.md --out=mine.npz
    deeplab-tf predict --model=mine.npz --crf --out_dir=O IMAGE...

mine.npz takes about two bytes for each weight. It also holds the names and colors of the classes,
the settings of the test, the CRF parameters, which --crf then uses, and the scores. mine.md is a
page that shows all of this and the text of --notes: a first line about what the network is for,
then sections such as "## Terms"; `deeplab-tf models mine.npz` prints it. The layers are built from
the flags of the training, which its run.json remembers. If the folder of --out has a table
SHA256SUMS, as that of the package's own networks has, the file is entered in it.
"""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

from deeplab_tf.commands.card_text import card_text
from deeplab_tf.commands.flags.crf import crf_params, define_crf_flags
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import MODEL_HELP, check_for_classes, find_labels
from deeplab_tf.commands.flags.network import (
    NETWORK,
    define_architecture_flags,
    is_late_fusion,
    network_arguments,
)
from deeplab_tf.commands.outputs import check_output_files, print_next, print_written
from deeplab_tf.commands.recall import recall_network
from deeplab_tf.commands.runs import RUN_FILE, Run, without_folders
from deeplab_tf.errors import InputError
from deeplab_tf.files import check_new_file, write_file
from deeplab_tf.models import ModelCard, find_model, is_packed, load_card, load_model, pack
from deeplab_tf.models.files import PACKED
from deeplab_tf.models.output_stride import with_output_stride
from deeplab_tf.models.score_heads import score_heads
from deeplab_tf.pretrained import record_sum
from deeplab_tf.untrusted import parse_json


def define_flags(values):
    """Define the flags of packing."""
    heading(values, "Model").string("model", None, MODEL_HELP, required=True)
    define_architecture_flags(values)
    define_crf_flags(values)
    define = heading(values, "Card")
    define.string(
        "scores",
        None,
        "File that evaluate --json_out wrote for this network; the CRF parameters of its scores "
        "are taken, too.",
    )
    define.integer(
        "max_side",
        None,
        "Longer side in pixels to which predict reduces larger photographs by default; choose that "
        "of the training images, because a network recognizes objects at the sizes it was trained "
        "on.",
        lower_bound=1,
    )
    define.string(
        "notes",
        None,
        "Markdown file: a first line about what the network is for, then sections such as Data, "
        "Terms and Limits.",
    )
    define = heading(values, "Output")
    define.string("out", None, "The .npz file to write; NAME.npz gets NAME.md.", required=True)
    define.bool("overwrite", False, "Replace the two files if they exist.")


def recall(flags):
    """The flags of the layers that the run of --model remembers."""
    return recall_network(flags)


def main(flags):
    """Pack as the flags say."""
    out = Path(flags.out)
    page = out.with_suffix(".md")
    check_outputs(flags, out, page)
    model = load_model(flags.model)
    check_for_classes(flags, model)
    if heads := score_heads(model):
        raise InputError(
            f"{flags.model}: has the score heads {', '.join(heads)}, but a packed network has one; "
            "use the .keras file, or train a network with one head"
        )
    refuse_given(flags, ["heads"], f"has no effect: {flags.model} has one score head; leave it out")
    card = make_card(flags, model)
    if tested := card.testing.get("output_stride"):
        model = with_output_stride(model, tested)
    change = pack(model, out, card)
    table = record_sum(out)
    name = out.stem if table else out.name  # as --model takes it
    write_file(page, card_text(name, card, out.stat().st_size).encode())
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB; 16-bit kernels change the scores of a random "
        f"image by at most {change:.2%} of the largest score"
    )
    print_written(out, page, table)
    crf = ["--crf"] if card.crf else []
    print_next("predict", f"--model={out}", *crf, "--out_dir=labels", "IMAGE")


def check_outputs(flags, out, page):
    """Raise `InputError` if the files cannot be written."""
    if out.suffix != PACKED:
        raise InputError(f"--out={out}; give the name of a {PACKED} file")
    check_output_files(out, page)
    for path in (out, page):
        check_new_file(path, flags.overwrite)
    if flags.notes and Path(flags.notes).resolve() == page.resolve():
        raise InputError(f"--notes={page}: the card would replace it; rename it")


def make_card(flags, model):
    """The `ModelCard` of the flags for the model of --model."""
    num_classes = model.output_shape[-1]
    card = first_card(flags, num_classes)
    params = crf_params(flags, num_classes)
    if flags.scores:
        scores = read_scores(flags.scores, card.label_set)
        card = replace(card, scores=scores, crf=scored_crf(flags, scores, params) or card.crf)
    elif params:
        card = replace(card, crf=asdict(params))
    if flags.max_side:
        card = replace(card, testing={**card.testing, "max_side": flags.max_side})
    if flags.notes:
        card = replace(card, notes=read_text(flags.notes))
    return card


def first_card(flags, num_classes):
    """What is known without --crf, --scores and --notes: from a packed network or from the run.

    Raises:
      InputError: if the flags do not say how the network was built, or say it of a packed one.
    """
    if is_packed(flags.model):
        layers = [flag.name for flag in flags.flags_by_module_dict()[NETWORK]]
        reason = "has no effect on a packed network, whose card describes its layers; leave it out"
        refuse_given(flags, layers, reason)
        return load_card(flags.model)
    folder = find_model(flags.model).parent
    run = Run.load(folder)
    if run is None and not flags["backbone"].present:
        raise InputError(
            f"{folder} has no {RUN_FILE} that says how the network was built; give --backbone, "
            "--head and the other flags of its layers"
        )
    kind = flags.network + ("_late_fusion" if is_late_fusion(flags) else "")
    network, testing = network_arguments(flags, num_classes), run.testing if run else {}
    trained = run and run.network.get("output_stride")
    if trained and flags.network == "deeplab" and flags.output_stride != trained:
        # Built as it was trained; what is packed has finer scores.
        network = {**network, "output_stride": trained}
        testing = {**testing, "output_stride": flags.output_stride}
    return ModelCard(
        network={"network": kind, **network},
        classes=asdict(find_labels(flags.model, num_classes)),
        testing=testing,
        training=describe_training(run) if run else {},
    )


def describe_training(run):
    """The command, the data set, and the numbers of images of a `Run`, without folders."""
    return {
        "command": shlex.join(["deeplab-tf", "train", *without_folders(run.flags)]),
        "dataset": run.dataset,
        "images": {each["list"]: each["images"] for each in run.splits.values()},
    }


def read_scores(path, label_set):
    """Read the scores that evaluate wrote; `InputError` unless they are of these classes."""
    try:
        scores = parse_json(read_text(path))
        names, _ = tuple(scores["per_class_iou"]), (scores["miou"], scores["pixel_accuracy"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not written by evaluate --json_out ({error})") from None
    if names != label_set.names:
        raise InputError(
            f"{path}: scores of the classes {', '.join(names)}, but the network has "
            f"{', '.join(label_set.names)}; give the scores of this network"
        )
    return scores


def scored_crf(flags, scores, params):
    """The CRF parameters that gave the scores after the CRF, as a dict, or those of the flags.

    Raises:
      InputError: if they differ.
    """
    scored = scores.get("settings", {}).get("crf")
    given = asdict(params) if params else None
    if scored and given and json.loads(json.dumps(given)) != scored:
        raise InputError(
            f"--scores={flags.scores}: measured with other CRF parameters than those of --crf_*; "
            "evaluate with these, or leave them out to take those of the scores"
        )
    return given or scored


def read_text(path):
    """The text of a file; `InputError` if it is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8") from None
