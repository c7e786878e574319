"""The table of the published systems in configs/, printed by `tools/train.py --list_configs`."""

import functools
import re
import sys
from pathlib import Path

import keras
from absl import flags

from deeplab_tf import build_deeplab, build_fcn
from deeplab_tf.data.datasets import LABEL_SETS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
COLUMNS = ("configuration", "data", "network", "parameters", "mean IoU", "with the CRF")


class ListFlag(flags.BooleanFlag):
    """A flag that prints the table and ends the program, whatever other flags are missing."""

    def parse(self, arg):
        """Print the table where the flag is given."""
        super().parse(arg)
        if self.value:
            print(table())
            sys.exit(0)


flags.DEFINE_flag(
    ListFlag(
        "list_configs",
        False,
        "Print the published systems in configs/ with their published figures, and end.",
        allow_override=True,
    )
)


def table(folder=CONFIGS):
    """The published systems as a Markdown table.

    Args:
      folder: where the flagfiles lie; those that name a published data set are listed.

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
    what = f"FCN-{settings.get('fcn_stride')}s" if fcn else settings["head"]
    options = [
        "scales " + scales.replace(",", ", ") if scales != "1" else "",
        "multi-scale features" if "multi_scale_features" in settings else "",
        {"mil": "MIL", "em_adapt": "EM-Adapt"}.get(settings.get("objective"), ""),
    ]
    network = ", ".join([settings["backbone"], what, *filter(None, options)])
    count = count_parameters(
        settings["backbone"],
        int(settings["fcn_stride"]) if fcn else settings["head"],
        LABEL_SETS[settings["dataset"]].num_classes,
        "multi_scale_features" in settings,
    )
    return settings["dataset"], network, f"{count:,}"


@functools.cache
def count_parameters(backbone, head, num_classes, use_multi_scale_features=False):
    """The number of parameters of a network.

    Args:
      backbone, num_classes, use_multi_scale_features: see `deeplab_tf.build_deeplab`.
      head: of a DeepLab; the stride of an FCN.
    """
    # The weights themselves, half a gigabyte for some, are not made.
    with keras.StatelessScope(initialize_variables=False):
        if isinstance(head, int):
            return build_fcn(backbone, head, num_classes, weights=None).count_params()
        options = {"use_multi_scale_features": use_multi_scale_features}
        return build_deeplab(backbone, head, num_classes, weights=None, **options).count_params()


def published(text):
    """The published figures before and after the CRF, "" where there is none."""
    figure = r"(\d+\.\d+)"
    line = rf"^# Published mean IoU, val: {figure}(?:; with the CRF: {figure})?\.$"
    found = re.search(line, text, re.MULTILINE)
    return (found[1], found[2] or "") if found else ("", "")
