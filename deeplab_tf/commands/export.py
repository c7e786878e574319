"""Export a trained network to TensorFlow Serving, ONNX Runtime, OpenVINO or LiteRT.

    deeplab-tf export --model=M --out=SAVED_MODEL --crf

The SavedModel needs nothing but TensorFlow; with --crf its graph contains the CRF:

    serve = tf.saved_model.load("SAVED_MODEL").signatures["uint8"]
    labels = serve(images=images)["labels"]    # images: uint8 (B, H, W, 3) RGB, any H and W

    deeplab-tf export --model=M --out=models/street --new_version

writes models/street/1, then 2, as TensorFlow Serving takes them (docs/serving.md). The lines

    deeplab-tf export --model=M --out=model.onnx       (or model.xml, model.tflite)
    deeplab-tf export --model=M --out=model.xml --int8 --calibration_data=D

write files for ONNX Runtime, OpenVINO and LiteRT, the last line one with 8-bit convolutions.
evaluate, search-crf, explain-crf, predict, demo and `deeplab_tf.open_model` run them as they run M.
A network with several score heads has outputs for each, HEAD_labels and HEAD_probabilities;
--head_name=NAME exports one head as an ordinary network.
"""

import re

from deeplab_tf.commands.calibration import (
    define_calibration_flags,
    find_calibration,
    load_calibration,
)
from deeplab_tf.commands.flags.crf import (
    CRF_FLAGS,
    MEMORY_FLAG,
    crf_memory,
    crf_params,
    define_crf_flags,
    params_along,
)
from deeplab_tf.commands.flags.data import define_input_flag
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.heads import refuse_of_one_head
from deeplab_tf.commands.flags.model import (
    MODEL_HELP,
    checked_scales,
    define_model_flags,
    define_pad_flag,
    open_any_model,
)
from deeplab_tf.commands.outputs import print_next, print_written
from deeplab_tf.commands.recall import known_setting, recall_for_model
from deeplab_tf.errors import InputError
from deeplab_tf.export.float_layers import check_float_layers
from deeplab_tf.export.formats import (
    FORMATS,
    QUANTIZED,
    SAVED_MODEL,
    export_model,
    format_for,
    output_files,
)
from deeplab_tf.export.versions import next_version
from deeplab_tf.files import check_new_file, check_new_folder
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.models import find_model


def define_flags(values):
    """Define the flags of an export."""
    define_model_flags(values, MODEL_HELP)
    define_pad_flag(values)
    define_input_flag(values, "Model", remembered_by="--model")
    define_crf_flags(values, with_memory=True)
    define = heading(values, "CRF")
    define.float(
        "crf_prune_below",
        0.0,
        "A class whose probability is below this at every pixel of an image exchanges no messages "
        "in it, which saves most of the CRF's time if images show few of many classes; such as "
        "0.01. 0: none. Only without a compatibility of the classes.",
        lower_bound=0,
        upper_bound=1,
    )
    define.enum(
        "crf_engine",
        "lattice",
        ["lattice", "xla"],
        "How the graph of a SavedModel computes the CRF: xla in operations that XLA can compile; "
        "lattice is faster without it.",
    )
    define = heading(values, "Output")
    define.enum(
        "format",
        None,
        FORMATS,
        "saved_model: a folder for TensorFlow and TensorFlow Serving. onnx, openvino, litert: a "
        "file that ends in .onnx, .xml or .tflite. Default: as --out ends.",
    )
    define.string("out", None, "The file, or the folder for the SavedModel.", required=True)
    define.bool("overwrite", False, "Replace it if it exists.")
    define.string(
        "image_size",
        None,
        "HEIGHTxWIDTH in pixels, such as 480x640: take only images of this size, and in a "
        "SavedModel one at a time, as other converters require. Default: any size.",
    )
    define_server_flags(values)
    define_calibration_flags(values)


def define_server_flags(values):
    """Define the flags of a SavedModel for TensorFlow Serving."""
    define = heading(values, "Server (saved_model)")
    define.bool(
        "new_version",
        False,
        "Write into the next numbered folder of --out, as TensorFlow Serving takes new versions of "
        "a model: --out/1, then --out/2.",
    )
    define.integer(
        "max_pixels",
        None,
        "Refuse images of more pixels, files before they are decoded. Default: no limit.",
        lower_bound=1,
    )
    define.integer(
        "served_max_side",
        None,
        "Reduce images whose longer side has more pixels to this length, for the network and the "
        "CRF; results have the image's size, as with predict --max_side. Default: no limit.",
        lower_bound=1,
    )


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Export as the flags say."""
    format, out = check_output(flags)
    find_model(flags.model)  # refuses what is exported already
    scales, image_size = checked_scales(flags), read_image_size(flags)
    if flags.int8 and format not in QUANTIZED:
        raise InputError(f"--int8: is for the formats {' and '.join(QUANTIZED)}, not {format}")
    if flags.int8_except and format != "litert":
        raise InputError(f"--int8_except: is for the format litert, not {format}; leave it out")
    examples = find_calibration(flags)
    model, label_set = open_any_model(flags)
    if label_set is None:
        refuse_for_depth(flags, scales)
    if isinstance(label_set, HeadLabels):
        refuse_of_one_head(flags, ["crf"], label_set.heads)
    params = crf_params(flags, model.output_shape[-1])
    crf_options = read_crf_options(flags, format)
    max_side = known_setting(flags.model, "max_side", int)
    check_float_layers(model, flags.int8_except)
    calibration = None
    if examples:
        calibration = load_calibration(examples, model.input_shape[-1], max_side, image_size)
    export_model(
        model,
        out,
        label_set,
        params,
        scales,
        flags.flip,
        flags.overwrite,
        flags.pad_to,
        image_size,
        format,
        calibration,
        max_side,
        suited_crf=None if params else params_along(flags.model),
        max_pixels=flags.max_pixels,
        served_max_side=flags.served_max_side,
        depth_input=describe_input(flags),
        crf_options=crf_options,
        int8_except=flags.int8_except,
    )
    if format == SAVED_MODEL:
        print_saved_model(out, image_size and params)
        if max_side and not (image_size or flags.served_max_side):
            print(f"servers label large photographs better with --served_max_side={max_side}")
    else:
        print_written(*output_files(out))
    crf = ["--crf"] if params and format != SAVED_MODEL else []
    # Beside all versions, not among them.
    stem = flags.out if format == SAVED_MODEL else output_files(out)[-1].with_suffix("")
    print_next("predict", f"--model={out}", *crf, f"--out_dir={stem}_predictions", "IMAGE")


def refuse_for_depth(flags, scales):
    """Raise `InputError` for flags that make no sense for a network that predicts depth."""
    reason = f"is for classes, but {flags.model} predicts depth; leave it out"
    refuse_given(flags, [*CRF_FLAGS, "crf_prune_below", "crf_engine", "int8"], reason)
    if scales != (1.0,):
        raise InputError(f"--scales {reason}")


def describe_input(flags):
    """What the exported file says of --input, a dict; None for color images."""
    if flags.input == "rgb":
        return None
    camera = known_setting(flags.model, "camera", str)
    return {"input": flags.input, **({"camera": camera} if camera else {})}


def read_crf_options(flags, format):
    """The `crf_options` of `export_model`; `InputError` if they would have no effect."""
    given = [name for name in ("crf_prune_below", "crf_engine", MEMORY_FLAG) if flags[name].present]
    if not flags.crf:
        refuse_given(flags, given, "has no effect without --crf; add --crf")
    if format != SAVED_MODEL:
        reason = "is for SavedModels, which compute the CRF; give it to the command that applies it"
        refuse_given(flags, given, reason)
    options = {"engine": flags.crf_engine, "prune_below": flags.crf_prune_below}
    options["max_memory"] = crf_memory(flags)
    return options if given else None


def check_output(flags):
    """The format of the flags, and where to write; `InputError` if that may not be written."""
    format, out = format_for(flags.out, flags.format), flags.out
    if format == SAVED_MODEL:
        if flags.new_version:
            refuse_given(flags, ["overwrite"], "has no effect: --new_version replaces nothing")
            out = str(next_version(flags.out))
        check_new_folder(out, flags.overwrite)
        return format, out
    names = "new_version", "max_pixels", "served_max_side"
    refuse_given(flags, names, f"is for the format {SAVED_MODEL}, not {format}")
    for file in output_files(out):
        check_new_file(file, flags.overwrite)
    return format, out


def print_saved_model(out, needs_tensorflow):
    """Print what was written, and how TensorFlow runs it."""
    print(f"SavedModel: {out}")
    if needs_tensorflow:
        print(
            "it contains the CRF, which converters to other formats reject; for them, export "
            "without --crf and call crf.dense_crf on the probabilities"
        )
    print(f"in TensorFlow: tf.saved_model.load({out!r}).signatures['uint8'](images=images)")


def read_image_size(flags):
    """The (height, width) of --image_size, or None; `InputError` if it is neither."""
    if flags.image_size is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", flags.image_size)
    if not found:
        raise InputError(
            f"--image_size={flags.image_size}: give HEIGHTxWIDTH in pixels, such as 480x640"
        )
    return int(found[1]), int(found[2])
