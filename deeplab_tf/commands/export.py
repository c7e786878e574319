"""Export a trained network as a SavedModel; with --crf its graph contains the CRF.

    deeplab-tf export --model=M --out=SAVED_MODEL --crf

The SavedModel needs nothing but TensorFlow:

    serve = tf.saved_model.load("SAVED_MODEL").signatures["uint8"]
    labels = serve(images=images)["labels"]    # images: uint8 (B, H, W, 3) RGB, any H and W

Converters to TensorFlow Lite and ONNX need one fixed size and no CRF:

    deeplab-tf export --model=M --out=SAVED_MODEL --image_size=513x513
"""

import re

from deeplab_tf.commands.flags.crf import crf_params, define_crf_flags
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.model import (
    checked_scales,
    define_model_flags,
    define_pad_flag,
    open_model,
)
from deeplab_tf.commands.outputs import print_next
from deeplab_tf.commands.recall import recall_for_model
from deeplab_tf.errors import InputError
from deeplab_tf.export import export_saved_model
from deeplab_tf.files import check_new_folder
from deeplab_tf.models import is_packed, load_card


def define_flags(values):
    """Define the flags of an export."""
    define_model_flags(values)
    define_pad_flag(values)
    define_crf_flags(values)
    define = heading(values, "Output")
    define.string("out", None, "Folder for the SavedModel.", required=True)
    define.bool("overwrite", False, "Replace the folder if it exists.")
    define.string(
        "image_size",
        None,
        "HEIGHTxWIDTH in pixels, such as 480x640: take one image of this size at a time, as "
        "converters to TensorFlow Lite and ONNX require. Default: batches of any size.",
    )


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Export as the flags say."""
    check_new_folder(flags.out, flags.overwrite)
    scales, image_size = checked_scales(flags), read_image_size(flags)
    model, label_set = open_model(flags)
    params = crf_params(flags, label_set.num_classes)
    export_saved_model(
        model,
        flags.out,
        label_set,
        params,
        scales,
        flags.flip,
        flags.overwrite,
        flags.pad_to,
        image_size,
    )
    print(f"SavedModel: {flags.out}")
    if image_size and params:
        print(
            "it contains the CRF, which converters to TensorFlow Lite and ONNX reject; for them, "
            "export without --crf and call crf.dense_crf on the probabilities"
        )
    print(f"in TensorFlow: tf.saved_model.load({flags.out!r}).signatures['uint8'](images=images)")
    max_side = load_card(flags.model).testing.get("max_side") if is_packed(flags.model) else None
    size = [f"--max_side={max_side}"] if max_side else []  # the only setting that it cannot hold
    out = f"--out_dir={flags.out}_predictions"
    print_next("predict", f"--model={flags.out}", *size, out, "IMAGE")


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
