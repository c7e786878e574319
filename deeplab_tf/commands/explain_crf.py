"""Show on images what the CRF does to a network's result, and what each parameter does.

    python tools/explain_crf.py --model=M --out_dir=D IMAGE...
    python tools/explain_crf.py --model=M --out_dir=D --crf_sigma_beta=5 --values_w1=0,4,8 IMAGE

writes for each image D/NAME_iterations.png, what is believed after some numbers of mean field
iterations, and D/NAME_parameters.png, the labels at some values of each parameter with the
others as the --crf_* flags give them. A belief is drawn as the colour of the most probable
class, paler the less probable it is.
"""

from dataclasses import replace

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
import numpy as np
from tqdm import tqdm

from crf.search import SearchGrid
from deeplab_tf.commands.flags import crf_flags, model_flags
from deeplab_tf.commands.image_outputs import plan_outputs
from deeplab_tf.data.image_files import load_image
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import most_probable, predict_probabilities, refine
from deeplab_tf.files import write_file
from deeplab_tf.visualize import (
    captioned,
    colorize,
    colorize_probabilities,
    encode_picture,
    panel,
)

FLAGS = flags.FLAGS

# Where no values are given, a parameter takes these multiples of the one it has.
WEIGHT_FACTORS, RANGE_FACTORS = (0, 0.5, 1, 4, 16), (0.25, 0.5, 1, 4, 16)
COLUMNS = 4  # of the first picture
ENDINGS = ("_iterations", "_parameters")

model_flags.define_size_flags()
flags.DEFINE_string("out_dir", None, "Folder for the pictures.", required=True)
flags.DEFINE_list("belief_after", ["1", "2", "5", "10"], "Numbers of iterations to show.")
for _name in SearchGrid.names():
    flags.DEFINE_list(
        f"values_{_name}", None, f"Values of {_name} to show. Default: multiples of its own."
    )


def beliefs_shown(params):
    """The parameters of --belief_after by their captions.

    Raises:
      InputError: where a value is no number of iterations.
    """
    try:
        counts = [int(text) for text in FLAGS.belief_after]
        return {f"after {count}": replace(params, iterations=count) for count in counts}
    except ValueError as error:
        raise InputError(f"--belief_after={','.join(FLAGS.belief_after)}: {error}") from None


def values_shown(name, params):
    """The parameters with the values to show of one of them, by their captions.

    Each value is shown once: all multiples of a weight of 0 are 0.

    Raises:
      InputError: where a value is out of the parameter's range.
    """
    texts, given = FLAGS[f"values_{name}"].value, getattr(params, name)
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
    # Values that six digits cannot tell apart are written in full.
    shown = short if len(set(short.values())) == len(points) else {v: repr(v) for v in points}
    return {f"{name} = {shown[value]}": point for value, point in points.items()}


def iterations_picture(image, probabilities, label_set, params, beliefs):
    """Image, network, beliefs, and the labels before and after the CRF."""
    colors = label_set.color_table()
    cells = {"image": image, "network": colorize_probabilities(probabilities, colors)}
    for caption, shown in beliefs.items():
        refined = refine(probabilities, image, shown)
        cells[caption] = colorize_probabilities(refined, colors)
    cells["labels before"] = colorize(most_probable(probabilities), colors)
    refined = refine(probabilities, image, params)
    cells["labels after"] = colorize(most_probable(refined), colors)
    cells = list(cells.items())
    rows = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    return table(rows, label_set)


def parameters_picture(image, probabilities, label_set, params, trials):
    """Image, labels before and after the CRF, and then a row of labels for each of `trials`."""
    colors = label_set.color_table()

    def with_labels(caption, shown):
        try:
            refined = refine(probabilities, image, shown)
        except InputError as error:
            raise InputError(f"{caption}: {error}") from error
        return caption, colorize(most_probable(refined), colors)

    before = "labels before", colorize(most_probable(probabilities), colors)
    rows = [[("image", image), before, with_labels("labels after", params)]]
    rows += [[with_labels(*cell) for cell in shown.items()] for shown in trials]
    return table(rows, label_set)


def table(rows, legend):
    """One picture of rows of (caption, picture); short rows end in white."""
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


def main(images):
    """Draw the pictures as the flags say."""
    plan = plan_outputs(images, FLAGS.out_dir, ENDINGS)
    model, label_set = model_flags.open_model()
    params = crf_flags.given_params(label_set.num_classes)
    settings = model_flags.segment_settings()
    beliefs = beliefs_shown(params)
    trials = [values_shown(name, params) for name in SearchGrid.names()]
    for path, *outputs in tqdm(plan, unit="image"):
        image = load_image(path)
        probabilities = predict_probabilities(model, image, **settings)
        shared = image, probabilities, label_set, params
        pictures = iterations_picture(*shared, beliefs), parameters_picture(*shared, trials)
        for output, picture in zip(outputs, pictures, strict=True):
            write_file(output, encode_picture(picture))


if __name__ == "__main__":
    run(main, takes_files=True)
