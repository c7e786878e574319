"""Label every pixel of images with a trained network.

    deeplab-tf predict --model=M --out_dir=O --crf IMAGE...
    deeplab-tf predict --model=EXPORTED --out_dir=O FOLDER

writes for each image O/NAME.png, a palette PNG of class indices, and O/NAME_overlay.png, the
image tinted with the classes' colors above their names. --side_by_side and --class_maps draw more
pictures of each image; --panel_out draws all images beside their labels, before and after the CRF,
and --contact_sheet_out writes a page to look through many. --probabilities_out writes the
probability of every class at every pixel. Photographs larger than --max_side are scored at that
size. Given a folder, it labels all images in it. A line says what was done to an image that is not
plain 8-bit RGB, such as turning it by its EXIF orientation. A network that was trained with
--input=rgbd, hha or rgb_hha also reads the depth map of each image. Of a network with several
score heads, the files of each head are in a folder O/HEAD; --head_name=NAME chooses one head.
Images that cannot be read are left out and named at the end, and the exit status is 1.

With a network that was trained with --objective=depth, O/NAME.png is a 16-bit PNG of millimeters,
and O/NAME_colors.png a picture of the depth.

    deeplab-tf predict --model=M --out_dir=O --runner=ray --inputs='photos/**/*.jpg'

labels any number of images on the machines of a Ray cluster, with a table of all in
O/table.parquet; the same command goes on after an interruption.
"""

from collections.abc import Callable
from typing import NamedTuple

from tqdm import tqdm

from deeplab_tf.commands.depth_maps import define_depth_flags, scene_reader
from deeplab_tf.commands.flags.crf import (
    PARAMETER_FLAGS,
    crf_memory,
    crf_params,
    define_crf_flags,
)
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.heads import refuse_of_one_head
from deeplab_tf.commands.flags.model import (
    FIXED_BY_EXPORT,
    define_model_flags,
    define_size_flags,
    open_any_model,
    segment_settings,
)
from deeplab_tf.commands.flags.runner import define_runner_flags, is_on_ray
from deeplab_tf.commands.outputs import beside_model, print_next, print_written
from deeplab_tf.commands.predict_depth import DepthWriter, depth_stages, plan_depth_outputs
from deeplab_tf.commands.predict_heads import OF_ONE_HEAD, HeadsWriter
from deeplab_tf.commands.predict_on_ray import (
    ARCHIVE_FLAGS,
    define_archive_flags,
    label_on_ray,
)
from deeplab_tf.commands.prediction_outputs import (
    PredictionWriter,
    define_output_flags,
    plan_outputs,
)
from deeplab_tf.commands.recall import not_remembered, recall_for_model
from deeplab_tf.data.checks.findings import some
from deeplab_tf.data.checks.image_inspection import decode_inspected
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.shrink import limited_size, shrink
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import apply_crf, fix_weights, predict_probabilities
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.files import export_format

ARGUMENTS = "IMAGE_OR_FOLDER..."
NAMED_AT_THE_END = 20  # images that the last message names at most; all have their own lines

# Longer side, in pixels, at which photographs are scored unless --max_side says otherwise.
MAX_SIDE = 1500

# What pictures say above a result, by its source.
CAPTIONS = {"network": "network", "crf": "after CRF", "export": "SavedModel"}


def define_flags(values):
    """Define the flags of a prediction."""
    define_model_flags(values)
    define_size_flags(values)
    define_crf_flags(values, with_memory=True)
    heading(values, "Model").integer(
        "max_side",
        None,
        "Reduce images whose longer side has more pixels to this length, for the network and the "
        f"CRF; the labels have the image's size. 0: no limit. Default: {MAX_SIDE}, and no limit "
        "with --tile.",
        lower_bound=0,
    )
    define_depth_flags(values)
    define_output_flags(values)
    define_runner_flags(values)
    define_archive_flags(values)


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags, images):
    """Label the images."""
    if is_on_ray(flags, *ARCHIVE_FLAGS):
        label_on_ray(flags, images, side_limit(flags))
        return
    plan = plan_outputs(flags, images)
    predictor = open_predictor(flags)
    read_scene = scene_reader(flags)
    max_side, reduced, refused = side_limit(flags), [], []
    if predictor.label_set is None:
        plan, writer = plan_depth_outputs(flags, images), DepthWriter(flags)
    else:
        kind = HeadsWriter if isinstance(predictor.label_set, HeadLabels) else PredictionWriter
        writer = kind(flags, predictor.label_set, predictor.source, len(plan), images)
    for one in tqdm(plan, unit="image"):
        try:
            color = read_checked(one.image, predictor.channels if read_scene is None else 3)
            image = color if read_scene is None else read_scene(one.image, color)
            write_one(writer, one, color, predictor.stages_of(image, max_side))
        except InputError as error:
            refused.append(error)
            tqdm.write(f"left out: {error}")
            continue
        if max_side and max(image.shape[:2]) > max_side:
            reduced.append((one.image, image.shape[:2]))
    writer.finish(list(map(str, refused)))
    if reduced:
        what = "depth" if predictor.label_set is None else "labels"
        print(reduction_line(reduced, max_side, what))
    print_written(*writer.written)
    raise_refused(refused, len(plan))
    print_export(flags)


def write_one(writer, plan, image, stages):
    """Write the files of an image; the message of an `InputError` begins with its path."""
    try:
        writer.write(plan, image[..., :3], stages)
    except InputError as error:
        raise InputError(f"{plan.image}: {error}") from None


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


def read_checked(path, channels):
    """Read an image, and print what was done to it if it is not plain 8-bit RGB.

    Raises:
      InputError: naming the file, if it is missing, damaged or no image.
    """
    image, what = decode_inspected(read_file(path), path, channels)
    if what:
        tqdm.write(f"{path}: {what}")
    return image


def print_export(flags):
    """Print the command that exports the network as it was used here; none for an export."""
    if export_format(flags.model):
        return
    same = not_remembered(flags, (*FIXED_BY_EXPORT, "head_name", "crf", *PARAMETER_FLAGS))
    out = f"--out={beside_model(flags, 'saved_model')}"
    print_next("export", f"--model={flags.model}", *same, out)


def side_limit(flags):
    """The longer side, in pixels, at which images are scored; None: no limit."""
    if flags.max_side is None:
        return None if flags.tile else MAX_SIDE
    return flags.max_side or None


def reduction_line(reduced, max_side, what="labels"):
    """One line about the images that were scored smaller.

    Args:
      reduced: list of (path, (height, width) of the image).
      max_side: the limit, in pixels.
      what: has full size.
    """
    (path, (height, width)), *others = reduced
    small_height, small_width = limited_size(height, width, max_side)
    more = f", and {len(others)} more images likewise" if others else ""
    return (
        f"{path}: scored at {small_width}x{small_height} instead of {width}x{height} pixels, "
        f"{what} at full size{more} (--max_side={max_side}; 0: no limit)"
    )


class Predictor(NamedTuple):
    """The model of --model with its settings.

    Args:
      stages_of: function from an image (H, W, channels) uint8 and `max_side` to an iterable of
        (caption, probabilities (h, w, C) float32): the result, and if it is wanted, before it
        the one without the CRF; (h, w) is the size that the image is scored at.
      label_set: `LabelSet`; `HeadLabels` of a network with several score heads; None: it predicts
        depth, see `depth_stages`.
      channels: number of channels of the images.
      source: what the result is, see `deeplab_tf.evaluation.probability_files.SOURCES`.
    """

    stages_of: Callable
    label_set: LabelSet
    channels: int
    source: str


def open_predictor(flags):
    """Open the model of --model.

    Returns:
      `Predictor`.

    Raises:
      InputError: if it cannot be opened, or a flag would change what an export has fixed.
    """
    model, label_set = open_any_model(flags)
    if label_set is None:
        return Predictor(depth_stages(flags, model), None, model.input_shape[-1], "network")
    if isinstance(label_set, HeadLabels):
        refuse_of_one_head(flags, OF_ONE_HEAD, label_set.heads)
    params, memory = crf_params(flags, label_set.num_classes), crf_memory(flags)
    settings = segment_settings(flags)
    # Of an exported network, the probabilities may be those after a CRF inside it.
    source = model.source if isinstance(model, OpenedModel) else "network"
    both = flags.panel_out or flags.side_by_side or flags.class_maps
    network = fix_weights(model)

    def stages_of(image, max_side):
        seen = shrink(image, max_side)
        probabilities = predict_probabilities(network, seen, **settings)
        if both or not params:
            yield CAPTIONS[source], probabilities
        if params:
            yield CAPTIONS["crf"], apply_crf(probabilities, seen, params, memory)

    result = "crf" if params else source
    return Predictor(stages_of, label_set, model.input_shape[-1], result)
