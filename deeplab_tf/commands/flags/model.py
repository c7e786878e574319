"""The flags that name a trained model and how it is applied to an image."""

from deeplab_tf.commands.flags.data import check_input
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.heads import choose_head, define_head_name_flag, is_chosen
from deeplab_tf.commands.flags.say import say
from deeplab_tf.commands.flags.scales import read_scales
from deeplab_tf.commands.runs import RUN_FILE, Run
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import check_settings
from deeplab_tf.evaluation.opened import OneHead
from deeplab_tf.export import open_model as open_exported
from deeplab_tf.models import find_model, is_pretrained, load_model, with_output_stride
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.models.files import export_format, trained_names
from deeplab_tf.models.precision import PRECISIONS, with_precision
from deeplab_tf.models.score_heads import score_heads
from deeplab_tf.models.trained import check_classes, generic_labels, load_labels
from deeplab_tf.pretrained.released import released_names

MODEL_HELP = (
    "A .keras file, the --model_dir of a run, a packed .npz file, or the name of a network that "
    "`deeplab-tf models` lists."
)
RUN_HELP = (
    f"{MODEL_HELP[:-1]}; or what export wrote: the folder of a SavedModel, an .onnx file, an .xml "
    "file of OpenVINO, or a .tflite file."
)
# The settings that an exported network holds.
FIXED_BY_EXPORT = ("output_stride", "scales", "flip", "pad_to", "precision")


def define_model_flags(values, model_help=RUN_HELP, required=True):
    """Define --model, --output_stride, --scales, --flip and --precision.

    Args:
      values: `absl.flags.FlagValues` that the flags are added to.
      model_help: what --model may be, `RUN_HELP` or `MODEL_HELP`.
      required: whether --model is.
    """
    define = heading(values, "Model")
    define.string("model", None, model_help, required=required)
    define.integer(
        "output_stride",
        None,
        "Pixels between two positions of the scores, with a decoder of the map before it, if finer "
        "than in training; 8 for a network trained at 16. Its dilation rates grow, so that every "
        "kernel covers the same pixels as in training. Default: as trained.",
        lower_bound=1,
    )
    define.list(
        "scales",
        ["1"],
        "Run the network on the padded image at each of these scales and keep the maximum of the "
        "scores, as a network trained with these --scales does; paper: 0.5,0.75,1.",
    )
    define.bool("flip", False, "Average the scores with those of the mirrored image.")
    define.enum(
        "precision",
        None,
        PRECISIONS,
        "Number format that the network computes in; mixed_bfloat16 can take half the time if the "
        "processor or GPU supports it. Default: as saved.",
    )
    define_head_name_flag(values)


def define_size_flags(values):
    """Define --tile and --pad_to, for commands that run the network on one image at a time."""
    define = heading(values, "Model")
    define.integer(
        "tile", None, "For very large images: height and width in pixels of overlapping tiles.", 1
    )
    define_pad_flag(values)


def define_pad_flag(values):
    """Define --pad_to."""
    heading(values, "Model").integer(
        "pad_to",
        None,
        "Pad smaller images to this height and width in pixels, before they are resized to "
        "--scales: with the mean color, 127.5 for networks that map images to -1..1; paper: 513.",
        1,
    )


def define_testing_flags(values):
    """Define the flags of a training run that the commands with --model take from its run.json."""
    define = heading(values, "Settings for testing")
    define.list(
        "test_scales",
        None,
        "Default of --scales in evaluate, search-crf, predict and the other commands that apply "
        "the trained network; training itself does not use it.",
    )
    define.integer("test_pad_to", None, "The same for --pad_to; paper: 513.", lower_bound=1)


def open_model(flags):
    """Load the model of --model and its classes, see `find_labels`.

    Returns:
      (Keras model, `LabelSet`); for an exported network (`OpenedModel`, `LabelSet`).

    Raises:
      InputError: if the model cannot be loaded, --output_stride or --input does not suit it,
        labels.json has another number of classes, the network predicts depth, or it has several
        score heads and --head_name chooses none.
    """
    model, label_set = _open(flags, all_heads=False)
    check_for_classes(flags, model)
    return model, label_set


def check_for_classes(flags, model):
    """Raise `InputError` if the model of --model predicts depth, not classes."""
    if predicts_depth(model):
        raise InputError(
            f"{flags.model}: a network for depth, which this command cannot use; use evaluate, "
            "predict or export"
        )


def open_any_model(flags):
    """`open_model` for commands that can use every network.

    Returns:
      As `open_model`, but with None in place of the `LabelSet` for a network that predicts depth,
      and with `HeadLabels` for one with several score heads of which --head_name chooses none.
    """
    return _open(flags, all_heads=True)


def _open(flags, all_heads):
    if export_format(flags.model):
        return _open_export(flags, all_heads)
    model = load_model(flags.model)
    check_input(flags, model.input_shape[-1])
    if is_pretrained(flags.model):
        where = f"`deeplab-tf models {flags.model}` prints its scores and terms"
        say(flags, f"{flags.model}: a network that {_origin(flags.model)}; {where}")
    elif flags.model in trained_names():
        origin = _origin(flags.model)
        say(flags, f"{flags.model}: the network here, not the one that {origin}")
    if flags.output_stride:
        try:
            model = with_output_stride(model, flags.output_stride)
        except InputError as error:
            raise InputError(f"--output_stride={flags.output_stride}: {error}") from None
    if flags.precision:
        model = with_precision(model, flags.precision)
    chosen = choose_head(flags, model, all_heads)
    if predicts_depth(model):
        return model, None
    labels = find_labels(flags.model, model.output_shape[-1], score_heads(model))
    return chosen, labels.of(flags.head_name) if flags.head_name else labels


def _origin(name):
    return "was released" if name in released_names() else "comes with this package"


def _open_export(flags, all_heads):
    """Open the exported network of --model; `InputError` if a flag would change what is fixed."""
    refuse_given(
        flags,
        [name for name in FIXED_BY_EXPORT if name in flags],
        f"has no effect: {flags.model} is an exported network, whose settings were fixed by its "
        "export; export it again with this flag, or give a .keras model",
    )
    if "tile" in flags:
        reason = "has no effect on an exported network, which scores whole images; give a .keras"
        refuse_given(flags, ["tile"], f"{reason} model")
    model = open_exported(flags.model)
    check_input(flags, model.input_shape[-1])
    if is_chosen(flags, model.heads, all_heads):
        model = OneHead(model, flags.head_name)
    return model, model.label_set


def find_labels(path, num_classes, heads=None):
    """The classes of a model: those of its card, or of `labels.json` or `run.json` next to it.

    Args:
      path: of the model, see `deeplab_tf.models.find_model`.
      num_classes: number of its classes.
      heads: its score heads, see `score_heads`; None: it has one.

    Returns:
      `LabelSet`, or `HeadLabels` of several heads; without card and files the classes are
      "class 0", "class 1", ...

    Raises:
      InputError: if the files have another number of classes, or other heads.
    """
    if found := load_labels(path, num_classes, heads):
        return found
    folder = find_model(path).parent
    if run := Run.load(folder):
        return check_classes(run.label_set, folder / RUN_FILE, path, num_classes, heads)
    return generic_labels(num_classes, heads)


def checked_scales(flags):
    """The scales of --scales as a tuple of floats; `InputError` if they cannot be used."""
    scales = read_scales(flags)
    check_settings(scales, flags.flip)
    return scales


def recorded_settings(flags):
    """The settings that change the scores, as a dict for files that record them."""
    stride = {"output_stride": flags.output_stride} if flags.output_stride else {}
    depth = {} if flags.input == "rgb" else {"input": flags.input}
    head = {"head_name": flags.head_name} if flags.head_name else {}
    return {**segment_settings(flags), "precision": flags.precision, **stride, **depth, **head}


def segment_settings(flags):
    """The settings of the flags as keyword arguments of `predict_probabilities`."""
    return {
        "scales": checked_scales(flags),
        "flip": flags.flip,
        "tile": flags.tile,
        "pad_to": flags.pad_to,
    }
