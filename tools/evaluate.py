"""Score a trained network on a data set, before and after the CRF in one pass.

    python tools/evaluate.py --model=M --dataset=voc --data_dir=D --split=val --crf

prints the IoU of every class and the mean scores; --json_out writes them to a file, --panel_out
a picture of some images with truth and results.
"""

import json

from absl import flags
from app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
import crf_flags
import data_flags
import model_flags
from output_files import check_output_files
from tqdm import tqdm

from deeplab_tf.data.labels import LabelSet
from deeplab_tf.data.voc import load_pair
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import most_probable, predict_probabilities, refine
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.report import comparison_panel, score_dict, score_table
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture

FLAGS = flags.FLAGS

model_flags.define_size_flags()
flags.DEFINE_string("split", "val", "List of the images to score.")
flags.DEFINE_integer("skip", 0, "Leave out the first so many images.", lower_bound=0)
flags.DEFINE_integer(
    "limit", None, "Score only the first so many images, after those of --skip.", lower_bound=1
)
flags.DEFINE_string("json_out", None, "File for the scores, as JSON.")
flags.DEFINE_string("panel_out", None, "PNG file for a picture of some images and results.")
flags.DEFINE_integer("panel_rows", 4, "Images in that picture.", lower_bound=1)


def open_examples(num_classes):
    """Open the data set of the flags: examples, classes, and the colours of RGB labels."""
    examples, label_set, colors = data_flags.open_split(FLAGS.split)
    if label_set.num_classes != num_classes:
        raise InputError(
            f"model {FLAGS.model} has {num_classes} classes but the data set {FLAGS.data_dir}"
            f" has {label_set.num_classes}; give the data set that the model was trained for"
        )
    if FLAGS.skip >= len(examples):
        raise InputError(
            f"--skip={FLAGS.skip}: nothing is left of the {len(examples)} images of {FLAGS.split}"
        )
    return examples[FLAGS.skip :][: FLAGS.limit], label_set, colors


def warn_of_names(trained, label_set):
    """Print a line where the data set's classes are not called as those of the model.

    Args:
      trained: `LabelSet` of the model.
      label_set: `LabelSet` of the data set, of as many classes.
    """
    if trained.names == LabelSet.generic(trained.num_classes).names:
        return  # nobody has named them
    for index, names in enumerate(zip(trained.names, label_set.names, strict=True)):
        if names[0] != names[1]:
            print(
                f"warning: class {index} is {names[0]!r} to the model {FLAGS.model} but"
                f" {names[1]!r} in the data set {FLAGS.data_dir}; the scores mean something only"
                " if that is the same"
            )
            return


def label_images(model, pairs, params):
    """Yield for each pair of image and truth also the labels, before and after the CRF."""
    settings = model_flags.segment_settings()
    for image, truth in pairs:
        probabilities = predict_probabilities(model, image, **settings)
        labels = [most_probable(probabilities)]
        if params is not None:
            labels.append(most_probable(refine(probabilities, image, params)))
        yield image, truth, *labels


def write_results(label_set, confusions, shown):
    """Print the table, and write the files of --json_out and --panel_out."""
    if FLAGS.panel_out:
        write_file(FLAGS.panel_out, encode_picture(comparison_panel(label_set, shown)))
    if FLAGS.json_out:
        scores = json.dumps(score_dict(label_set, *confusions), indent=1, allow_nan=False)
        write_file(FLAGS.json_out, f"{scores}\n".encode())
    print(score_table(label_set, *confusions))


def main():
    """Evaluate as the flags say."""
    model, trained = model_flags.open_model()
    params = crf_flags.crf_params(model.output_shape[-1])
    examples, label_set, colors = open_examples(model.output_shape[-1])
    warn_of_names(trained, label_set)
    check_output_files(FLAGS.json_out, FLAGS.panel_out)

    pairs = (load_pair(example, label_set.num_classes, colors) for example in examples)
    confusions = [ConfusionMatrix(label_set.num_classes) for _ in range(2 if params else 1)]
    every = -(-len(examples) // FLAGS.panel_rows)
    shown = []
    bar = tqdm(label_images(model, pairs, params), total=len(examples), unit="image")
    for index, (image, truth, *labels) in enumerate(bar):
        for confusion, label in zip(confusions, labels, strict=True):
            confusion.add(truth, label)
        if index % every == 0:
            shown.append((image, truth, *labels))
    write_results(label_set, confusions, shown)


if __name__ == "__main__":
    run(main)
