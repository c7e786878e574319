"""The flags that name a trained model and say how it looks at an image."""

from absl import flags

from deeplab_tf.commands.flags.scale_lists import read_scales
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import check_settings
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import find_model, load_model
from deeplab_tf.models.precision import PRECISIONS, with_precision

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "model", None, "A .keras file, or the folder that training wrote.", required=True
)
flags.DEFINE_list(
    "scales", ["1"], "Score the image at these scales, keep the maximum; paper: 0.5,0.75,1."
)
flags.DEFINE_bool("flip", False, "Average with the scores of the mirrored image.")
flags.DEFINE_enum(
    "precision",
    None,
    PRECISIONS,
    "What the network computes in; mixed_bfloat16 takes about half the time where the processor or "
    "GPU has it. As the model was saved without it.",
)


def define_size_flags():
    """Define --tile and --pad_to, for the tools that see one image after the other."""
    flags.DEFINE_integer(
        "tile", None, "Side in pixels of overlapping tiles, for very large images.", 1
    )
    flags.DEFINE_integer("pad_to", None, "Pad images to this size in pixels; paper: 513.", 1)


def open_model():
    """Load the model of --model and the classes that `labels.json` beside it names.

    Returns:
      (Keras model, `LabelSet`); the classes are "class 0", "class 1", ... without the file.

    Raises:
      InputError: where the model cannot be loaded, or the classes are not as many as its own.
    """
    model = load_model(FLAGS.model)
    if FLAGS.precision:
        model = with_precision(model, FLAGS.precision)
    num_classes = model.output_shape[-1]
    labels_path = find_model(FLAGS.model).parent / "labels.json"
    if not labels_path.is_file():
        return model, LabelSet.generic(num_classes)
    label_set = LabelSet.load(labels_path)
    if label_set.num_classes != num_classes:
        raise InputError(
            f"{labels_path}: {label_set.num_classes} classes but the model {FLAGS.model} has"
            f" {num_classes}; mend or delete the file"
        )
    return model, label_set


def scales():
    """The scales of --scales as a tuple of floats; `InputError` where they are none."""
    values = read_scales(FLAGS.scales)
    check_settings(values, FLAGS.flip)
    return values


def segment_settings():
    """The settings of the flags as keyword arguments of `predict_probabilities`."""
    return {
        "scales": scales(),
        "flip": FLAGS.flip,
        "tile": FLAGS.tile,
        "pad_to": FLAGS.pad_to,
    }
