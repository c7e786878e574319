"""Label every pixel of images with a trained network.

    deeplab-tf predict --model=M --out_dir=O --crf IMAGE...
    deeplab-tf predict --model=EXPORTED --out_dir=O FOLDER

writes for each image O/NAME.png, a palette PNG of class indices, and O/NAME_overlay.png, the
image tinted with the classes' colors above their names. --panel_out draws images beside their
labels, before and after the CRF. Photographs larger than --max_side are scored at that size. Given
a folder, it labels all images in it. A line says what was done to an image that is not plain 8-bit
RGB, such as turning it by its EXIF orientation. Images that cannot be read are left out and named
at the end, and the exit status is 1.
"""

from pathlib import Path

from tqdm import tqdm

from deeplab_tf.commands.flags.crf import PARAMETER_FLAGS, crf_params, define_crf_flags
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.model import (
    FIXED_BY_EXPORT,
    define_model_flags,
    define_size_flags,
    open_model,
    segment_settings,
)
from deeplab_tf.commands.outputs import (
    beside_model,
    check_output_files,
    plan_image_outputs,
    print_next,
    print_written,
)
from deeplab_tf.commands.recall import not_remembered, recall_for_model
from deeplab_tf.data.checks.findings import some
from deeplab_tf.data.checks.image_inspection import inspect_image
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.shrink import limited_size
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.evaluation.report import photograph_panel, photograph_row
from deeplab_tf.files import write_file
from deeplab_tf.models.files import export_format
from deeplab_tf.visualize import encode_picture, overlay_with_legend

ARGUMENTS = "IMAGE_OR_FOLDER..."
NAMED_AT_THE_END = 20  # images that the last message names at most; all have their own lines

# Longer side, in pixels, at which photographs are scored unless --max_side says otherwise.
MAX_SIDE = 1500


def define_flags(values):
    """Define the flags of a prediction."""
    define_model_flags(values)
    define_size_flags(values)
    define_crf_flags(values)
    heading(values, "Model").integer(
        "max_side",
        None,
        "Reduce images whose longer side has more pixels to this length, for the network and the "
        f"CRF; the labels have the image's size. 0: no limit. Default: {MAX_SIDE}, and no limit "
        "with --tile.",
        lower_bound=0,
    )
    define = heading(values, "Output")
    define.string("out_dir", None, "Folder for the results.", required=True)
    define.float(
        "overlay_alpha",
        0.6,
        "Opacity of the classes' colors in the overlay, 0 to 1.",
        lower_bound=0,
        upper_bound=1,
    )
    define.string(
        "panel_out",
        None,
        "PNG file for a picture with a row for each image: the image, and the overlay, with --crf "
        "before and after it.",
    )
    define.integer("panel_rows", 20, "Number of images in that picture, the first.", lower_bound=1)


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags, images):
    """Label the images."""
    plan = plan_image_outputs(images, flags.out_dir, ("", "_overlay"))
    check_panel(flags, plan)
    label_of, label_set, channels = open_labeler(flags)
    colors = label_set.color_table()
    max_side, reduced = side_limit(flags), []
    written, refused, rows = [], [], []
    for path, label_path, overlay_path in tqdm(plan, unit="image"):
        try:
            image = read_checked(path, channels)
            *before, label = label_one(label_of, path, image, max_side)
        except InputError as error:
            refused.append(error)
            tqdm.write(f"left out: {error}")
            continue
        if max_side and max(label.shape) > max_side:
            reduced.append((path, label.shape))
        write_file(label_path, encode_label(label, colors))
        tinted = overlay_with_legend(image[..., :3], label, label_set, flags.overlay_alpha)
        write_file(overlay_path, encode_picture(tinted))
        written += [label_path, overlay_path]
        if flags.panel_out and len(rows) < flags.panel_rows:
            labels = [*before, label]
            rows.append(photograph_row(image[..., :3], labels, label_set, flags.overlay_alpha))
    if rows:
        write_file(flags.panel_out, encode_picture(photograph_panel(label_set, rows)))
        written.insert(0, flags.panel_out)
    if reduced:
        print(reduction_line(reduced, max_side))
    print_written(*written)
    raise_refused(refused, len(plan))
    print_export(flags)


def check_panel(flags, plan):
    """Raise `InputError` if --panel_out cannot be written, or is an image or one of its results."""
    check_output_files(flags.panel_out)
    others = {path.resolve() for paths in plan for path in paths}
    if flags.panel_out and Path(flags.panel_out).resolve() in others:
        raise InputError(f"--panel_out={flags.panel_out}: is also an image or the result of one")


def raise_refused(errors, total):
    """Raise `InputError` if images were left out.

    Args:
      errors: list of `InputError`, one for each of them.
      total: number of all images.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        names = some((str(error).partition(": ")[0] for error in errors), NAMED_AT_THE_END)
        raise InputError(f"{len(errors)} of {total} images were left out: {names}")


def label_one(label_of, path, image, max_side):
    """The labels of an image; the message of an `InputError` begins with its path."""
    try:
        return label_of(image, max_side=max_side)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_checked(path, channels):
    """Read an image, and print what was done to it if it is not plain 8-bit RGB.

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


def print_export(flags):
    """Print the command that exports the network as it was used here; none for an export."""
    if export_format(flags.model):
        return
    same = not_remembered(flags, (*FIXED_BY_EXPORT, "crf", *PARAMETER_FLAGS))
    out = f"--out={beside_model(flags, 'saved_model')}"
    print_next("export", f"--model={flags.model}", *same, out)


def side_limit(flags):
    """The longer side, in pixels, at which images are scored; None: no limit."""
    if flags.max_side is None:
        return None if flags.tile else MAX_SIDE
    return flags.max_side or None


def reduction_line(reduced, max_side):
    """One line about the images that were scored smaller.

    Args:
      reduced: list of (path, (height, width) of the image).
      max_side: the limit, in pixels.
    """
    (path, (height, width)), *others = reduced
    small_height, small_width = limited_size(height, width, max_side)
    more = f", and {len(others)} more images likewise" if others else ""
    return (
        f"{path}: scored at {small_width}x{small_height} instead of {width}x{height} pixels, "
        f"labels at full size{more} (--max_side={max_side}; 0: no limit)"
    )


def open_labeler(flags):
    """Open the model of --model.

    Returns:
      (function from an image (H, W, channels) uint8 and `max_side` to a list of labels (H, W)
      uint8, `LabelSet`, number of channels); the last labels are the result, and for a panel those
      before the CRF come first.

    Raises:
      InputError: if it cannot be opened, or a flag would change what an export has fixed.
    """
    model, label_set = open_model(flags)
    params = crf_params(flags, label_set.num_classes)
    steps = [None, params] if params and flags.panel_out else [params]
    settings = segment_settings(flags)

    def labels_of(image, max_side):
        return [segment(model, image, crf, max_side=max_side, **settings) for crf in steps]

    return labels_of, label_set, model.input_shape[-1]
