"""Label every pixel of images with a trained network.

    deeplab-tf predict --model=M --out_dir=O --crf IMAGE...
    deeplab-tf predict --model=SAVED_MODEL --out_dir=O FOLDER

writes for each image O/NAME.png, a palette PNG of class indices, and O/NAME_overlay.png, the
image tinted with the classes' colors. Of a folder it labels all images. A line says what was done
to an image that is not plain RGB of 8 bits, such as turning it by its EXIF orientation. Images
that cannot be read are left out and named at the end, and the exit status is 1.
"""

from tqdm import tqdm

from deeplab_tf.commands.flags.crf import PARAMETER_FLAGS, crf_params, define_crf_flags
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import (
    define_model_flags,
    define_size_flags,
    open_model,
    segment_settings,
)
from deeplab_tf.commands.outputs import plan_image_outputs
from deeplab_tf.data.checks.findings import some
from deeplab_tf.data.checks.image_inspection import inspect_image
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import is_saved_model, open_saved_model
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture, overlay

ARGUMENTS = "IMAGE_OR_FOLDER..."
NAMED_AT_THE_END = 20  # damaged images in the last message; all are named when they are met


def define_flags(values):
    """Define the flags of a prediction."""
    define_model_flags(values)
    define_size_flags(values)
    define_crf_flags(values)
    define = heading(values, "Output")
    define.string("out_dir", None, "Folder for the results.", required=True)
    define.float(
        "overlay_alpha",
        0.6,
        "Opacity of the classes' colors in the overlay, 0 to 1.",
        lower_bound=0,
        upper_bound=1,
    )


def main(flags, images):
    """Label the images."""
    plan = plan_image_outputs(images, flags.out_dir, ("", "_overlay"))
    label_of, label_set, channels = open_labeler(flags)
    colors = label_set.color_table()
    damaged = []
    for path, label_path, overlay_path in tqdm(plan, unit="image"):
        try:
            image = read_checked(path, channels)
        except InputError as error:
            damaged.append(error)
            tqdm.write(f"left out: {error}")
            continue
        try:
            label = label_of(image)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        write_file(label_path, encode_label(label, colors))
        tinted = overlay(image[..., :3], label, colors, flags.overlay_alpha)
        write_file(overlay_path, encode_picture(tinted))
    if len(damaged) == 1:
        raise damaged[0]
    if damaged:
        names = some((str(error).partition(": ")[0] for error in damaged), NAMED_AT_THE_END)
        raise InputError(
            f"{len(damaged)} of {len(plan)} images cannot be read: {names}; the others are labeled"
        )


def read_checked(path, channels):
    """Read an image, and print what was done to it if it is not plain RGB of 8 bits.

    Raises:
      InputError: naming the file, if it is missing, damaged or no image.
    """
    contents = read_file(path)
    _, findings = inspect_image(contents, str(path), channels)
    image = image_from(contents, path, channels)
    unreadable = [finding for finding in findings if finding.kind == "image_unreadable"]
    if unreadable:
        raise InputError(unreadable[0].line)
    if findings:
        tqdm.write(f"{path}: {'; '.join(finding.what for finding in findings)}")
    return image


def open_labeler(flags):
    """Open the model of --model.

    Returns:
      (function from an image (H, W, channels) uint8 to its labels (H, W) uint8, `LabelSet`,
      number of channels).

    Raises:
      InputError: if it cannot be opened, or a flag would change what an export has fixed.
    """
    if is_saved_model(flags.model):
        fixed = ("crf", *PARAMETER_FLAGS, "scales", "flip", "precision", "tile", "pad_to")
        refuse_given(
            flags,
            fixed,
            f"has no effect: {flags.model} is a SavedModel, whose settings were fixed by its "
            "export; export it again with this flag, or give a .keras model",
        )
        served, label_set = open_saved_model(flags.model)
        return served, label_set, served.channels
    model, label_set = open_model(flags)
    params = crf_params(flags, label_set.num_classes)
    settings = segment_settings(flags)
    channels = model.input_shape[-1]
    return lambda image: segment(model, image, params, **settings), label_set, channels
