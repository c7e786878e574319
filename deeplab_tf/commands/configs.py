"""List the published systems, or print one of their flagfiles.

    deeplab-tf configs                          # a table with the published figures, other names
    deeplab-tf configs voc_vgg16_large_fov      # the flagfile of one of them

The commands find these flagfiles by name: deeplab-tf train --flagfile=voc_vgg16_large_fov ...
"""

import functools
import re

import keras

from deeplab_tf import build_deeplab, build_fcn
from deeplab_tf.commands.flagfiles import CONFIGS, find_flagfile
from deeplab_tf.data.datasets import LABEL_SETS
from deeplab_tf.data.inputs import CHANNELS
from deeplab_tf.errors import InputError

ARGUMENTS = "[NAME]"
# What the table calls the values of --input and --objective.
INPUTS = {"rgbd": "RGB-D", "hha": "HHA", "rgb_hha": "RGB-HHA"}
OBJECTIVES = {"mil": "MIL", "em_adapt": "EM-Adapt", "depth": "depth"}

COLUMNS = ("configuration", "data", "network", "parameters", "mean IoU", "with the CRF", "test")


def define_flags(values):
    """Define the flags: this command has none."""


def main(flags, names):
    """Print the table and the other flagfiles, or the flagfile of that name."""
    if len(names) > 1:
        raise InputError(f"unexpected argument {names[1]!r}; give one name")
    if names:
        print(find_flagfile(names[0]).read_text("utf-8").rstrip())
        return
    print(f"{table()}\n\nother flagfiles: {', '.join(other_names())}")


def table(folder=CONFIGS):
    """The published systems as a Markdown table.

    Args:
      folder: the folder of the flagfiles; those for a published data set are listed.

    Returns:
      str, a row for each flagfile.
    """
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for path in sorted(folder.glob("*.flags")):
        text = path.read_text(encoding="utf-8")
        settings = read_settings(text)
        if settings.get("dataset") in LABEL_SETS:
            rows.append((path.stem, *describe(settings), *published(text)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def other_names(folder=CONFIGS):
    """The names of the flagfiles of a folder that `table` leaves out, such as the demo's."""
    settings = {
        path.stem: read_settings(path.read_text("utf-8")) for path in folder.glob("*.flags")
    }
    return sorted(name for name in settings if settings[name].get("dataset") not in LABEL_SETS)


def read_settings(text):
    """The flags of a flagfile as a dict of strings; a flag without a value is "true"."""
    found = {}
    for line in text.splitlines():
        if line.startswith("--"):
            name, _, value = line.removeprefix("--").partition("=")
            found[name] = value or "true"
    return found


def describe(settings):
    """Data, network and number of parameters of a configuration, as text."""
    fcn, scales = settings.get("network") == "fcn", settings.get("scales", "1")
    is_depth = settings.get("objective") == "depth"
    what = f"FCN-{settings.get('fcn_stride')}s" if fcn else settings["head"]
    heads = [int(head.partition(":")[2]) for head in settings.get("heads", "").split(",") if head]
    options = [
        "scales " + scales.replace(",", ", ") if scales != "1" else "",
        "at once" if "fcn_scaled_skips" in settings else "",
        "multi-scale features" if "multi_scale_features" in settings else "",
        INPUTS.get(settings.get("input"), ""),
        f"{len(heads)} heads" if heads else "",
        OBJECTIVES.get(settings.get("objective"), ""),
    ]
    network = ", ".join([settings["backbone"], what, *filter(None, options)])
    count = count_parameters(
        settings["backbone"],
        int(settings["fcn_stride"]) if fcn else settings["head"],
        None if is_depth else sum(heads) or LABEL_SETS[settings["dataset"]].num_classes,
        "multi_scale_features" in settings,
        settings.get("input", "rgb"),
    )
    return settings["dataset"], network, f"{count:,}"


@functools.cache
def count_parameters(backbone, head, num_classes, use_multi_scale_features=False, input="rgb"):
    """The number of parameters of a network.

    Args:
      backbone, use_multi_scale_features: see `deeplab_tf.build_deeplab`.
      num_classes: number of classes; None: the network predicts depth.
      head: of a DeepLab; the stride of an FCN.
      input: see `deeplab_tf.data.inputs.CHANNELS`.
    """
    # Builds the layers without memory for their weights, half a gigabyte for some networks.
    with keras.StatelessScope(initialize_variables=False):
        networks = 2 if input == "rgb_hha" else 1
        options = {"input_shape": (None, None, CHANNELS[input] // networks), "weights": None}
        options["predict_depth"] = num_classes is None
        if isinstance(head, int):
            model = build_fcn(backbone, head, num_classes, **options)
        else:
            options["use_multi_scale_features"] = use_multi_scale_features
            model = build_deeplab(backbone, head, num_classes, **options)
        return networks * model.count_params()


def published(text):
    """The published figures: on val, on val after the CRF, on test; "" for one that does not exist.

    The figure on test is the text of the flagfile, such as "70.3 with the CRF".
    """
    figure = r"(\d+\.\d+)"
    val = re.search(
        rf"^# Published mean IoU, val: {figure}(?:; with the CRF: {figure})?\.$", text, re.MULTILINE
    )
    test = re.search(r"^# Published mean IoU, test: (.+)\.$", text, re.MULTILINE)
    return (*(val.groups("") if val else ("", "")), test[1] if test else "")
