"""Search for the CRF parameters with the best mean IoU, on images of a data set.

    python tools/search_crf.py --model=M --data_dir=D --limit=100 --out_dir=R
    python tools/evaluate.py --model=M --data_dir=D --skip=100 --flagfile=R/best_crf.flags

The network runs once for each image; its probabilities are kept in R/probabilities. The coarse
grid is tried first, then finer steps around the best point. R/search.json holds the scores; a
search that was stopped goes on where it was when the same command is given again. When all is
done, R/best_crf.flags holds the best parameters for the --flagfile of evaluate, predict and
export, and R/search.png is a picture of all scores.
"""

import hashlib
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from tqdm import tqdm

from crf.search import GRIDS, SearchGrid, best_trial, coarse_to_fine
from crf.threads import available_threads
from deeplab_tf.commands.flags import crf_flags, data_flags, model_flags
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.crf_search import PointScorer, SearchRecord, identity_of_pairs
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.evaluation.probability_cache import ProbabilityCache
from deeplab_tf.evaluation.search_report import params_flagfile, search_picture, trial_table
from deeplab_tf.files import write_file
from deeplab_tf.models import find_model
from deeplab_tf.visualize import encode_picture

FLAGS = flags.FLAGS

model_flags.define_size_flags()
flags.DEFINE_string("split", "val", "List of the images to search on.")
flags.DEFINE_integer(
    "limit", None, "Search on the first so many images; papers: 100.", lower_bound=1
)
flags.DEFINE_string("out_dir", None, "Folder for the results.", required=True)
flags.DEFINE_enum("grid", "v2", sorted(GRIDS), "The coarse grid, as in DeepLab v1 or v2.")
for _name in SearchGrid.names():
    flags.DEFINE_list(f"grid_{_name}", None, f"Values of {_name} in place of the grid's own.")
flags.DEFINE_integer("rounds", 2, "Finer rounds, each with half the steps.", lower_bound=0)
flags.DEFINE_integer(
    "threads",
    None,
    "Images worked on at a time. Default: as many as the processors this process may use.",
    lower_bound=1,
)
RESULTS = PICTURE, FLAGFILE = "search.png", "best_crf.flags"


def search_grid():
    """The grid of the flags.

    Raises:
      InputError: where a value cannot be used, or a flag would do nothing.
    """
    for name in SearchGrid.names():
        if FLAGS[f"crf_{name}"].present:
            raise InputError(f"--crf_{name}: is searched; fix it with --grid_{name}=VALUE")
    if FLAGS.crf_params:
        raise InputError("--crf_params: parameters are searched here; leave it out")
    given = {name: FLAGS[f"grid_{name}"].value for name in SearchGrid.names()}
    try:
        axes = {name: tuple(map(float, values)) for name, values in given.items() if values}
        return replace(GRIDS[FLAGS.grid], **axes)
    except ValueError as error:
        raise InputError(f"--grid_*: {error}") from None


def open_pairs(num_classes):
    """Load the images and truths of the flags.

    Raises:
      InputError: where the data set has other classes, or fewer images than --limit.
    """
    examples, label_set, colors = data_flags.open_split(FLAGS.split)
    if label_set.num_classes != num_classes:
        raise InputError(
            f"model {FLAGS.model} has {num_classes} classes but the data set {FLAGS.data_dir}"
            f" has {label_set.num_classes}; give the data set that the model was trained for"
        )
    if FLAGS.limit and FLAGS.limit > len(examples):
        raise InputError(f"--limit={FLAGS.limit}: {FLAGS.split} lists {len(examples)} images")
    return [load_pair(example, num_classes, colors) for example in examples[: FLAGS.limit]]


def fill_cache(cache, model, images):
    """Run the network on the images whose probabilities are not stored yet."""
    missing = [image for image in images if image not in cache]
    for image in tqdm(missing, unit="image", desc="network", disable=not missing):
        cache.save(image, predict_probabilities(model, image, **model_flags.segment_settings()))


def remove_results():
    """Remove what an earlier search has left, which would pass for the result of this one."""
    for name in RESULTS:
        (Path(FLAGS.out_dir) / name).unlink(missing_ok=True)


def write_results(grid, trials, before, num_images):
    """Write the flagfile and the picture, and print what was found."""
    out_dir, (params, after, _) = Path(FLAGS.out_dir), best_trial(trials)
    change = f"{before:.4f} without the CRF, {after:.4f} with it ({after - before:+.4f})"
    found = f"mean IoU on {num_images} images of {FLAGS.split}: {change}"
    comments = ["CRF parameters found by", f"  {shlex.join(['python', *sys.argv])}", found]
    write_file(out_dir / PICTURE, encode_picture(search_picture(trials)))
    write_file(out_dir / FLAGFILE, params_flagfile(params, comments).encode())
    print(trial_table(trials, before), found, sep="\n\n")
    for name in grid.ends_met(params):
        print(f"The best {name} lies at an end of its grid; widen it with --grid_{name}=...")
    print(f"flags: {out_dir / FLAGFILE}\npicture: {out_dir / PICTURE}")


def main():
    """Search as the flags say."""
    grid = search_grid()
    model, _ = model_flags.open_model()
    num_classes = model.output_shape[-1]
    params = crf_flags.given_params(num_classes)
    pairs, out_dir = open_pairs(num_classes), Path(FLAGS.out_dir)
    checksum = hashlib.sha256(find_model(FLAGS.model).read_bytes()).hexdigest()
    settings = {**model_flags.segment_settings(), "precision": FLAGS.precision}
    seen_by = {"model": checksum, "settings": settings}
    identity = {**seen_by, "images": identity_of_pairs(pairs)}
    record = SearchRecord(out_dir / "search.json", identity)

    cache = ProbabilityCache(out_dir / "probabilities", seen_by, num_classes)
    remove_results()
    fill_cache(cache, model, [image for image, _ in pairs])
    progress = partial(tqdm, unit="image", smoothing=0.05)
    threads = FLAGS.threads or available_threads()
    scorer = PointScorer(pairs, cache.load, num_classes, threads, progress)
    (before,) = scorer([None])

    def score(points):
        for point, miou in zip(points, scorer(points), strict=True):
            record.add(point, miou)
            yield miou

    trials = coarse_to_fine(score, grid, params, FLAGS.rounds, record.scores)
    write_results(grid, trials, before, len(pairs))


if __name__ == "__main__":
    run(main)
