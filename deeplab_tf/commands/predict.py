"""Label every pixel of images with a trained network.

    python tools/predict.py --model=M --out_dir=O --crf IMAGE...
    python tools/predict.py --model=SAVED_MODEL --out_dir=O IMAGE...

writes for each image O/NAME.png, a palette PNG of class indices, and O/NAME_overlay.png, the
image tinted with the classes' colours.
"""

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from tqdm import tqdm

from deeplab_tf.commands.flags import crf_flags, model_flags
from deeplab_tf.commands.image_outputs import plan_outputs
from deeplab_tf.data.image_files import encode_label, load_image
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import is_saved_model, open_saved_model
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture, overlay

FLAGS = flags.FLAGS

model_flags.define_size_flags()
flags.DEFINE_string("out_dir", None, "Folder for the results.", required=True)
flags.DEFINE_float(
    "overlay_alpha",
    0.6,
    "Share of the classes' colours in the overlay.",
    lower_bound=0,
    upper_bound=1,
)


def open_labeller():
    """Open the model of --model: a function from an image to its labels, and the classes.

    Raises:
      InputError: where it cannot be opened, or a flag would change what an export has fixed.
    """
    if is_saved_model(FLAGS.model):
        fixed = ("crf", *crf_flags.PARAMETER_FLAGS, "scales", "flip", "precision", "tile", "pad_to")
        crf_flags.refuse_given(
            fixed,
            f"has no effect: {FLAGS.model} is a SavedModel, in whose graph this is fixed;"
            " give it to tools/export.py, or give a .keras model",
        )
        return open_saved_model(FLAGS.model)
    model, label_set = model_flags.open_model()
    params = crf_flags.crf_params(label_set.num_classes)
    settings = model_flags.segment_settings()
    return lambda image: segment(model, image, params, **settings), label_set


def main(images):
    """Label the images as the flags say."""
    plan = plan_outputs(images, FLAGS.out_dir, ("", "_overlay"))
    label_of, label_set = open_labeller()
    colors = label_set.color_table()
    for path, label_path, overlay_path in tqdm(plan, unit="image"):
        image = load_image(path)
        label = label_of(image)
        write_file(label_path, encode_label(label, colors))
        tinted = overlay(image, label, colors, FLAGS.overlay_alpha)
        write_file(overlay_path, encode_picture(tinted))


if __name__ == "__main__":
    run(main, takes_files=True)
