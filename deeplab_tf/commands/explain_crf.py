"""Draw what the CRF does to a network's output, and what each of its parameters does.

    deeplab-tf explain-crf --model=M --out_dir=D IMAGE...
    deeplab-tf explain-crf --model=M --out_dir=D --crf_sigma_beta=5 --values_w1=0,4,8 IMAGE

writes two pictures for each image. D/NAME_iterations.png shows the probabilities after some
numbers of mean field iterations: each pixel has the color of its most probable class, paler if
the class is less probable. D/NAME_parameters.png shows the labels at some values of each parameter,
with the other parameters as the --crf_* flags give them.
"""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from crf.search import SearchGrid
from deeplab_tf.commands.flags.crf import (
    PARAMETER_FLAGS,
    card_params,
    define_crf_flags,
    given_params,
)
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.model import (
    define_model_flags,
    define_size_flags,
    open_model,
    segment_settings,
)
from deeplab_tf.commands.outputs import (
    beside_model,
    plan_image_outputs,
    print_next,
    print_written,
)
from deeplab_tf.commands.recall import SETTING_FLAGS, not_remembered, recall_for_model
from deeplab_tf.data.image_files import load_image
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import apply_crf, most_probable, predict_probabilities
from deeplab_tf.files import write_file
from deeplab_tf.visualize import (
    captioned,
    colorize,
    colorize_probabilities,
    encode_picture,
    panel,
)

ARGUMENTS = "IMAGE_OR_FOLDER..."

# Without --values_NAME, these multiples of a parameter's value are shown.
WEIGHT_FACTORS, RANGE_FACTORS = (0, 0.5, 1, 4, 16), (0.25, 0.5, 1, 4, 16)
COLUMNS = 4  # of the first picture


def define_flags(values):
    """Define the flags of the pictures."""
    define_model_flags(values)
    define_size_flags(values)
    define_crf_flags(values)
    define = heading(values, "Pictures")
    define.string("out_dir", None, "Folder for the pictures.", required=True)
    define.list(
        "probabilities_after", ["1", "2", "5", "10"], "Numbers of mean field iterations to show."
    )
    for name in SearchGrid.names():
        define.list(
            f"values_{name}", None, f"Values of {name} to show. Default: multiples of its value."
        )


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags, images):
    """Draw the pictures of every image."""
    plan = plan_image_outputs(images, flags.out_dir, ("_iterations", "_parameters"))
    model, label_set = open_model(flags)
    params = given_params(flags, label_set.num_classes, card_params(flags))
    settings = segment_settings(flags)
    counts = iterations_shown(flags, params)
    trials = [values_shown(flags, name, params) for name in SearchGrid.names()]
    for path, *outputs in tqdm(plan, unit="image"):
        image = load_image(path, model.input_shape[-1])
        probabilities = predict_probabilities(model, image, **settings)
        shared = image[..., :3], probabilities, label_set, params
        pictures = iterations_picture(*shared, counts), parameters_picture(*shared, trials)
        for output, picture in zip(outputs, pictures, strict=True):
            write_file(output, encode_picture(picture))
    print_written(*(output for _, *outputs in plan for output in outputs))
    same = not_remembered(flags, (*SETTING_FLAGS, *PARAMETER_FLAGS))
    out = f"--out_dir={beside_model(flags, 'predictions')}"
    print_next("predict", f"--model={flags.model}", *same, "--crf", out, *images)


def iterations_shown(flags, params):
    """`CRFParams` with each number of iterations of --probabilities_after, by their captions.

    Raises:
      InputError: if a value is not a number of iterations.
    """
    texts = flags.probabilities_after
    try:
        counts = [int(text) for text in texts]
        return {f"after {count}": replace(params, iterations=count) for count in counts}
    except ValueError as error:
        raise InputError(f"--probabilities_after={','.join(texts)}: {error}") from None


def values_shown(flags, name, params):
    """`CRFParams` with each value to show of one parameter, by their captions.

    Equal values are shown once: all multiples of a weight of 0 are 0.

    Raises:
      InputError: if a value is out of the parameter's range.
    """
    texts, given = flags[f"values_{name}"].value, getattr(params, name)
    try:
        if texts:
            values = list(map(float, texts))
        else:
            factors = RANGE_FACTORS if name.startswith("sigma") else WEIGHT_FACTORS
            values = [factor * given for factor in factors]
        points = {value: replace(params, **{name: value}) for value in values}
    except ValueError as error:
        what = f"={','.join(texts)}" if texts else f": multiples of {name} = {given:g} are shown"
        raise InputError(f"--values_{name}{what}: {error}") from None
    short = {value: f"{value:g}" for value in points}
    # If six digits do not tell values apart, all digits are shown.
    shown = short if len(set(short.values())) == len(points) else {v: repr(v) for v in points}
    return {f"{name} = {shown[value]}": point for value, point in points.items()}


def iterations_picture(image, probabilities, label_set, params, counts):
    """Image, probabilities before and after some iterations, labels before and after the CRF."""
    colors = label_set.color_table()
    cells = {"image": image, "network": colorize_probabilities(probabilities, colors)}
    for caption, shown in counts.items():
        refined = apply_crf(probabilities, image, shown)
        cells[caption] = colorize_probabilities(refined, colors)
    cells["labels before"] = colorize(most_probable(probabilities), colors)
    refined = apply_crf(probabilities, image, params)
    cells["labels after"] = colorize(most_probable(refined), colors)
    cells = list(cells.items())
    rows = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    return table(rows, label_set)


def parameters_picture(image, probabilities, label_set, params, trials):
    """Image, labels before and after the CRF, and then a row of labels for each of `trials`."""
    colors = label_set.color_table()

    def with_labels(caption, shown):
        try:
            refined = apply_crf(probabilities, image, shown)
        except InputError as error:
            raise InputError(f"{caption}: {error}") from error
        return caption, colorize(most_probable(refined), colors)

    before = "labels before", colorize(most_probable(probabilities), colors)
    rows = [[("image", image), before, with_labels("labels after", params)]]
    rows += [[with_labels(*cell) for cell in shown.items()] for shown in trials]
    return table(rows, label_set)


def table(rows, legend):
    """One picture from rows of (caption, picture); shorter rows are filled with white."""
    columns = max(map(len, rows))
    white = np.full((1, 1, 3), 255, np.uint8)
    return panel(
        [
            [captioned(picture, caption) for caption, picture in row]
            + [white] * (columns - len(row))
            for row in rows
        ],
        legend=legend,
    )
