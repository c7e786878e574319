"""Export a trained network as a SavedModel; with --crf its graph contains the CRF.

    deeplab-tf export --model=M --out=SAVED_MODEL --crf

The SavedModel needs nothing but TensorFlow:

    serve = tf.saved_model.load("SAVED_MODEL").signatures["uint8"]
    labels = serve(images=images)["labels"]    # images: uint8 (B, H, W, 3) RGB, any H and W
"""

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
from deeplab_tf.export import export_saved_model
from deeplab_tf.files import check_new_folder


def define_flags(values):
    """Define the flags of an export."""
    define_model_flags(values)
    define_pad_flag(values)
    define_crf_flags(values)
    define = heading(values, "Output")
    define.string("out", None, "Folder for the SavedModel.", required=True)
    define.bool("overwrite", False, "Replace the folder if it exists.")


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Export as the flags say."""
    check_new_folder(flags.out, flags.overwrite)
    scales = checked_scales(flags)
    model, label_set = open_model(flags)
    params = crf_params(flags, label_set.num_classes)
    export_saved_model(
        model, flags.out, label_set, params, scales, flags.flip, flags.overwrite, flags.pad_to
    )
    print(f"SavedModel: {flags.out}")
    print(f"in TensorFlow: tf.saved_model.load({flags.out!r}).signatures['uint8'](images=images)")
    print_next("predict", f"--model={flags.out}", f"--out_dir={flags.out}_predictions", "IMAGE")
