"""Export a trained network as a SavedModel, with the CRF in its graph if wanted.

    python tools/export.py --model=M --out=SAVED_MODEL --crf

The SavedModel needs nothing but TensorFlow:

    serve = tf.saved_model.load("SAVED_MODEL").signatures["uint8"]
    labels = serve(images=images)["labels"]    # images: uint8 (B, H, W, 3) RGB, any H and W
"""

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from deeplab_tf.commands.flags import crf_flags, model_flags
from deeplab_tf.export import export_saved_model
from deeplab_tf.files import check_new_folder

FLAGS = flags.FLAGS

flags.DEFINE_string("out", None, "Folder for the SavedModel.", required=True)
flags.DEFINE_bool("overwrite", False, "Replace what lies there.")


def main():
    """Export as the flags say."""
    check_new_folder(FLAGS.out, FLAGS.overwrite)
    scales = model_flags.scales()
    model, label_set = model_flags.open_model()
    params = crf_flags.crf_params(label_set.num_classes)
    export_saved_model(model, FLAGS.out, label_set, params, scales, FLAGS.flip, FLAGS.overwrite)
    print(f"SavedModel: {FLAGS.out}")


if __name__ == "__main__":
    run(main)
