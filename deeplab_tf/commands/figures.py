"""Draw a figure that explains a part of DeepLab.

    deeplab-tf figures --figure=atrous --out=atrous.png PHOTO.jpg

The figures are

  atrous          atrous convolution beside downsampling, convolution and upsampling
  two_ways        the two ways to compute atrous convolution, which give the same
  fields_of_view  what one score sees of the image: every head of VGG-16, or --model
  beliefs         score map and belief map of a class over the iterations of the CRF
  trimaps         the pixels near borders that `evaluate --trimap` scores
  failures        the images of a data set that --model labels worst

Without an image, atrous, two_ways and beliefs show a photograph of the package scikit-image, and
trimaps a scene of the synthetic data set. A flag that a figure does not use is refused.
"""

from pathlib import Path

from deeplab_tf.commands.flags.crf import define_crf_flags
from deeplab_tf.commands.flags.data import define_data_flags
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import define_model_flags, define_size_flags
from deeplab_tf.commands.outputs import (
    beside_model,
    check_output_files,
    print_next,
    print_written,
)
from deeplab_tf.commands.recall import (
    DATA_FLAGS,
    SETTING_FLAGS,
    not_remembered,
    recall_for_model,
)
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.boundary import TRIMAP_BORDERS
from deeplab_tf.files import write_file

ARGUMENTS = "[IMAGE]"

KINDS = (".png", ".svg")

# {figure: (headings of --help whose flags it uses, single flags that it uses)}.
USES = {
    "atrous": ((), ("rate", "max_side")),
    "two_ways": ((), ("rate",)),
    "fields_of_view": (
        (),
        ("model", "output_stride", "precision", "backbone", "field_heads", "field_side"),
    ),
    "beliefs": (("Model", "CRF"), ("class_name", "probabilities_after", "max_side")),
    "trimaps": (
        (),
        ("dataset", "data_dir", "split", "skip", "label", "trimap_widths", "trimap_border"),
    ),
    "failures": (("Model", "CRF", "Data set"), ("panel_rows",)),
}
DEFAULT_MODEL = "msrc21"  # of the beliefs


def define_flags(values):
    """Define the flags of the figures."""
    define = heading(values, "Figure")
    define.enum("figure", None, list(USES), "Which figure to draw.", required=True)
    define.string("out", None, "File for the figure, .png or .svg.", required=True)
    define.integer("rate", 2, "Dilation rate of atrous and two_ways.", lower_bound=2, upper_bound=8)
    define.integer(
        "max_side",
        500,
        "Reduce the image of atrous and beliefs to this many pixels on its longer side.",
        lower_bound=1,
    )
    define.string("backbone", "vgg16", "Network below the heads of fields_of_view.")
    define.list(
        "field_heads",
        ["4x4", "7x7", "4x4_fov", "large_fov", "aspp_l"],
        "Heads of fields_of_view, with random weights; each branch has a field of its own.",
    )
    define.integer(
        "field_side",
        641,
        "Height and width in pixels of the image that fields_of_view measures on; more than the "
        "largest field.",
        lower_bound=17,
    )
    define.string(
        "class_name",
        None,
        "Class of beliefs. Default: the one with the most pixels that is not the background.",
    )
    define.list(
        "probabilities_after",
        ["1", "2", "10"],
        "Numbers of mean field iterations that beliefs shows.",
    )
    define.string(
        "label", None, "Label file of trimaps, class indices, 255 = void; with or without IMAGE."
    )
    define.list("trimap_widths", ["1", "5", "10", "20"], "Widths of the trimaps in pixels.")
    define.enum(
        "trimap_border",
        "any",
        list(TRIMAP_BORDERS),
        "Which borders trimaps measures the distance from, as in `deeplab-tf evaluate`.",
    )
    define.integer("panel_rows", 3, "Number of images of failures.", lower_bound=1)
    define_model_flags(values, required=False)
    define_size_flags(values)
    define_crf_flags(values)
    define_data_flags(values, remembered_by="--model")
    define = heading(values, "Data set")
    define.string("split", "val", "List of the images of failures, and of that of trimaps.")
    define.integer("skip", 0, "Leave out this many images at the beginning.", lower_bound=0)
    define.integer(
        "limit", None, "Score only this many images, after those of --skip.", lower_bound=1
    )


def recall(flags):
    """Refuse flags that the figure does not use; the flags that the run of --model remembers.

    Only now is it known which flags were given: those of the run come to them afterwards.
    """
    headings, names = USES[flags.figure]
    used = {flag.name for title in headings for flag in flags.flags_by_module_dict()[title]}
    others = set(flags) - used - {*names, "figure", "out"}
    refuse_given(flags, sorted(others), f"has no effect on --figure={flags.figure}; leave it out")
    if flags.figure == "beliefs":
        flags.model = flags.model or DEFAULT_MODEL
        return [f"--model={flags.model}", *recall_for_model(flags, needs_data=False)]
    if flags.figure == "failures":
        if flags.model is None:
            raise InputError("--model is required for --figure=failures; see --help")
        return recall_for_model(flags)
    return []


def main(flags, images):
    """Draw the figure."""
    kind = Path(flags.out).suffix.lower()
    if kind not in KINDS:
        raise InputError(f"--out={flags.out}: give a name that ends with {' or '.join(KINDS)}")
    check_output_files(flags.out)
    # matplotlib is slow to import.
    from deeplab_tf.commands.figure_drawers import DRAWERS
    from deeplab_tf.evaluation import plots
    from deeplab_tf.evaluation.figures.canvas import encode

    with plots.style():
        figure = DRAWERS[flags.figure](flags, images)
        write_file(flags.out, encode(figure, kind[1:]))
    print_written(flags.out)
    _print_following(flags)


def _print_following(flags):
    if flags.figure == "failures":
        same = not_remembered(flags, (*DATA_FLAGS, *SETTING_FLAGS))
        report = f"--report_out={beside_model(flags, 'report')}"
        print_next("evaluate", f"--model={flags.model}", *same, "--crf", report)
        return
    figures = list(USES)
    following = figures[figures.index(flags.figure) + 1]
    model = ["--model=MODEL", "--crf"] if following == "failures" else []
    out = Path(flags.out).with_name(f"{following}{Path(flags.out).suffix}")
    print_next("figures", f"--figure={following}", *model, f"--out={out}")
