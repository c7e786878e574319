"""Search for the CRF parameters with the best mean IoU, on images of a data set.

    deeplab-tf search-crf --model=M --limit=100 --out_dir=R
    deeplab-tf evaluate --model=M --skip=100 --flagfile=R/best_crf.flags

The network runs once for each image; its probabilities are kept in R/probabilities. A coarse grid
is tried first, then finer steps around the best point. R/search.json holds the scores: if a search
is stopped, the same command continues it. At the end R/best_crf.flags holds the best parameters,
for --flagfile of evaluate, predict and export, and R/search.png is a picture of all scores. With
--runner=ray, workers on the machines of a Ray cluster share the work.
"""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from crf.search import GRIDS, SearchGrid, best_trial, coarse_to_fine
from crf.threads import available_threads
from deeplab_tf.commands.flags.crf import define_crf_flags, given_params
from deeplab_tf.commands.flags.data import check_same_classes, define_data_flags, open_split
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import (
    define_model_flags,
    define_size_flags,
    open_model,
    recorded_settings,
    segment_settings,
)
from deeplab_tf.commands.flags.runner import define_runner_flags, is_on_ray, workers_of
from deeplab_tf.commands.outputs import command_line, print_next, print_written
from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.commands.recall import (
    DATA_FLAGS,
    SETTING_FLAGS,
    not_remembered,
    recall_for_model,
)
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.crf_search import (
    PointScorer,
    ProbabilityCache,
    SearchRecord,
    identity_of_pairs,
)
from deeplab_tf.evaluation.inference import fix_weights, predict_probabilities
from deeplab_tf.evaluation.opened import refuse_second_crf
from deeplab_tf.evaluation.search_report import params_flagfile, search_picture, trial_table
from deeplab_tf.files import lock_folder, write_file
from deeplab_tf.models.locate import model_checksum
from deeplab_tf.scale.model_files import read_model
from deeplab_tf.scale.searcher import RayPointScorer
from deeplab_tf.scale.session import import_ray, ray_session
from deeplab_tf.visualize import encode_picture

PICTURE, FLAGFILE = "search.png", "best_crf.flags"

# With fewer images, the best of many points may fit just these by chance; the papers used 100.
FEW_IMAGES = 50


def define_flags(values):
    """Define the flags of a search."""
    define_model_flags(values)
    define_size_flags(values)
    define_data_flags(values, remembered_by="--model", with_input=True)
    define = heading(values, "Data set")
    define.string(
        "split",
        "val",
        "List of the images to search on; the --val_split of the model's run replaces the default.",
    )
    define.integer("limit", None, "Use only this many images; papers: 100.", lower_bound=1)
    define_crf_flags(values)
    define = heading(values, "Search")
    define.string("out_dir", None, "Folder for the results.", required=True)
    define.enum(
        "grid",
        None,
        sorted(GRIDS),
        "The coarse grid of DeepLab v1 or v2. Default: v2, and every second value of it if there "
        f"are fewer than {FEW_IMAGES} images.",
    )
    for name in SearchGrid.names():
        define.list(f"grid_{name}", None, f"Values of {name}. Default: those of --grid.")
    define.integer(
        "rounds",
        None,
        "Number of finer rounds, each with half the step of the one before. Default: 2, and 1 if "
        f"there are fewer than {FEW_IMAGES} images.",
        lower_bound=0,
    )
    define.integer(
        "threads",
        None,
        "Number of images to work on at a time. Default: the number of processors that this "
        "process may use.",
        lower_bound=1,
    )
    define_runner_flags(values)


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Search as the flags say."""
    on_ray = is_on_ray(flags)
    if on_ray:
        refuse_given(flags, ("threads",), "has no effect with --runner=ray; give --ray_cpus")
        import_ray()
    grid = search_grid(flags)
    model, _ = open_model(flags)
    num_classes = model.output_shape[-1]
    refuse_second_crf(model)
    params = given_params(flags, num_classes)
    pairs, num_listed = open_pairs(flags, num_classes, model.input_shape[-1])
    out_dir = Path(flags.out_dir)
    tried, rounds = search_effort(flags, grid, len(pairs))
    settings = segment_settings(flags)
    # Everything that the probabilities depend on, except the images.
    network = {
        "model": model_checksum(flags.model),
        "settings": recorded_settings(flags),
    }
    identity = {**network, "images": identity_of_pairs(pairs)}
    with contextlib.ExitStack() as held:
        remedy = "wait until it ends, or give another --out_dir"
        held.enter_context(lock_folder(out_dir, "another search", remedy))
        record = SearchRecord(out_dir / "search.json", identity)
        cache = ProbabilityCache(out_dir / "probabilities", network, num_classes)
        for name in (PICTURE, FLAGFILE):  # those of an earlier search would stay until the end
            (out_dir / name).unlink(missing_ok=True)
        missing = [image for image, _ in pairs if image not in cache]
        progress = partial(tqdm, unit="image", smoothing=0.05)
        if on_ray:
            scorer = held.enter_context(scorer_on_ray(flags, settings, num_classes, progress))
            found = scorer.probabilities(missing)
        else:
            network = fix_weights(model) if missing else None
            found = ((x, predict_probabilities(network, x, **settings)) for x in missing)
        bar = tqdm(found, total=len(missing), unit="image", desc="network", disable=not missing)
        for image, probabilities in bar:
            cache.save(image, probabilities)
        if on_ray:
            scorer.send(pairs, cache.stored)
        else:
            threads = flags.threads or available_threads()
            scorer = PointScorer(pairs, cache.load, num_classes, threads, progress)
        (before,) = scorer([None])  # None: without the CRF

        def score(points):
            for point, miou in zip(points, scorer(points), strict=True):
                record.add(point, miou)
                yield miou

        trials = coarse_to_fine(score, tried, params, rounds, record.scores)
        write_results(flags, grid, trials, before, len(pairs), num_listed)


@contextlib.contextmanager
def scorer_on_ray(flags, settings, num_classes, progress):
    """A `RayPointScorer` while `with` lasts."""
    files = read_model(flags.model, flags.output_stride, flags.precision)
    with ray_session(flags.ray_address) as ray:
        plan = workers_of(flags, ray)
        scorer = RayPointScorer(ray, plan, files, settings, num_classes, progress, tqdm.write)
        try:
            yield scorer
        finally:
            scorer.close()


def search_grid(flags):
    """The grid of the flags.

    Raises:
      InputError: if a value cannot be used, or a flag would have no effect.
    """
    for name in SearchGrid.names():
        if flags[f"crf_{name}"].present:
            raise InputError(
                f"--crf_{name}: this parameter is searched; to fix it, give --grid_{name}=VALUE"
            )
    if flags.crf_params:
        raise InputError("--crf_params: this command searches the parameters; leave it out")
    given = {name: flags[f"grid_{name}"].value for name in SearchGrid.names()}
    try:
        axes = {name: tuple(map(float, values)) for name, values in given.items() if values}
        return replace(GRIDS[flags.grid or "v2"], **axes)
    except ValueError as error:
        raise InputError(f"--grid_*: {error}") from None


def open_pairs(flags, num_classes, channels):
    """Load the images and labels: all, or the first --limit of them, and warn if they are few.

    Returns:
      (list of (image, label), the number of images that the list names).

    Raises:
      InputError: if the data set has other classes.
    """
    examples, label_set, encoding = open_split(flags, flags.split)
    check_same_classes(flags, num_classes, label_set)
    if flags.limit and flags.limit > len(examples):
        print(f"--limit={flags.limit}: {flags.split} has {len(examples)} images; all are used")
    chosen = examples[: flags.limit]
    pairs = [load_pair(example, num_classes, encoding, channels) for example in chosen]
    if len(pairs) < FEW_IMAGES:
        print(
            f"warning: the best of many points on {len(pairs)} images may fit only these images; "
            "the papers used 100. Compare it with the defaults on images of another list."
        )
    return pairs, len(examples)


def search_effort(flags, grid, num_images):
    """The grid and the number of finer rounds: by default fewer points for few images."""
    few = num_images < FEW_IMAGES
    rounds = flags.rounds if flags.rounds is not None else 1 if few else 2
    chosen = any(flags[name].present for name in flags if name.startswith("grid"))
    if few and not chosen:
        grid = grid.thinned()
        print(f"few images: {len(grid.points())} coarse points; --grid=v2 tries all of DeepLab v2")
    return grid, rounds


def write_results(flags, grid, trials, before, num_images, num_listed):
    """Write the flagfile and the picture, and print what was found."""
    out_dir, (params, after, _) = Path(flags.out_dir), best_trial(trials)
    change = f"{before:.4f} without the CRF, {after:.4f} with it ({after - before:+.4f})"
    found = f"mean IoU on {num_images} images of {flags.split}: {change}"
    command = command_line("search-crf", *given_flags(flags))
    comments = ["CRF parameters found by", f"  {command}", found]
    write_file(out_dir / PICTURE, encode_picture(search_picture(trials)))
    write_file(out_dir / FLAGFILE, params_flagfile(params, comments).encode())
    print(trial_table(trials, before), found, sep="\n\n")
    for name in grid.ends_met(params):
        print(f"The best {name} is at an end of its grid; widen the grid with --grid_{name}=...")
    print_written(out_dir / FLAGFILE, out_dir / PICTURE, out_dir / "search.json")
    # The images of the search are left out of the score, unless they are all that there are.
    skip = [f"--skip={num_images}"] if num_images < num_listed else []
    same = not_remembered(flags, DATA_FLAGS + SETTING_FLAGS)
    found = f"--flagfile={out_dir / FLAGFILE}"
    print_next("evaluate", f"--model={flags.model}", *same, *skip, found)
