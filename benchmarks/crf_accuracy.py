"""How well the CRF's engines and pydensecrf approximate exact inference over all pairs of pixels.

    python benchmarks/crf_accuracy.py --data_dir=CAMVID [--binding_python=PATH]

Uses a crop of 100x75 pixels from each of twelve validation images, score maps made by blurring
the true labels and adding noise, and the published parameter sets. For each set it prints the
share of pixels with the label of exact inference and the mean |dQ|, the difference between the
probabilities; and the same for the numba engine with label pruning, compared with no pruning. PATH
is the Python of an environment with numpy and pydensecrf.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from absl import app, flags
from tqdm import tqdm

from benchmarks.worker import Worker
from crf import CRFParams, dense_crf
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.voc import read_label_set, read_split

FLAGS = flags.FLAGS

flags.DEFINE_string("data_dir", None, "Data set in VOC layout.", required=True)
flags.DEFINE_string("binding_python", None, "Python of an environment with pydensecrf.")
flags.DEFINE_integer("crops", 12, "Number of crops.", lower_bound=1)

HEIGHT, WIDTH = 75, 100
PRUNE_BELOW = 0.05
# w1, sigma_alpha, sigma_beta, w2, sigma_gamma of the published files. Those without a spatial
# kernel get the usual one.
PUBLISHED = {
    "v2 release": (4, 49, 5, 3, 3),
    "v2 ResNet": (5, 21, 3, 4, 1),
    "v2 port": (4, 67, 3, 3, 1),
    "v1 vgg128": (5, 50, 10, 3, 3),
    "v1 MSc": (3, 95, 3, 3, 3),
    "v1 default": (5, 50, 3, 3, 3),
}
FIELDS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma")


def load_crops():
    """(probabilities, image) of every crop."""
    num_classes = read_label_set(FLAGS.data_dir).num_classes
    examples = read_split(FLAGS.data_dir, "val")
    rng = np.random.default_rng(0)
    crops = []
    for example in examples[:: max(1, len(examples) // FLAGS.crops)][: FLAGS.crops]:
        image, label = load_pair(example, num_classes)
        top = int(rng.integers(image.shape[0] - HEIGHT + 1))
        left = int(rng.integers(image.shape[1] - WIDTH + 1))
        window = np.s_[top : top + HEIGHT, left : left + WIDTH]
        crops.append((noisy_probabilities(label[window], num_classes, rng), image[window].copy()))
    return crops


def noisy_probabilities(label, num_classes, rng):
    """Probabilities (H, W, C) from the label, blurred and with noise."""
    layers = (label[..., None] == np.arange(num_classes)).astype(np.float32)
    scores = 2 * cv2.GaussianBlur(layers, (0, 0), 3)
    scores += cv2.GaussianBlur(rng.normal(0, 10, scores.shape).astype(np.float32), (0, 0), 3)
    odds = np.exp(scores - scores.max(axis=2, keepdims=True))
    return odds / odds.sum(axis=2, keepdims=True)


def run_binding(process, folder, probabilities, image, params):
    """The result of pydensecrf on a crop."""
    case, result = str(folder / "case.npz"), str(folder / "result.npy")
    np.savez(case, probabilities=probabilities, image=image)
    job = {name: getattr(params, name) for name in (*FIELDS, "iterations")}
    process.ask({**job, "case": case, "result": result})
    return np.load(result)


def compare(refined, wanted):
    """The share of pixels with equal labels, and the mean |dQ|."""
    agreement = (refined.argmax(axis=-1) == wanted.argmax(axis=-1)).mean()
    return agreement, np.abs(refined - wanted).mean()


def run_all(probabilities, image, params, by_binding):
    """The comparisons of one crop, by name."""

    def refine(engine, **options):
        return dense_crf(probabilities[None], image[None], params, engine, **options)[0].numpy()

    exact, numba = refine("exact"), refine("numba")
    found = {"numba": compare(numba, exact), "lattice": compare(refine("lattice"), exact)}
    if by_binding:
        found["pydensecrf"] = compare(by_binding(probabilities, image, params), exact)
        found["numba to pydensecrf"] = compare(numba, by_binding(probabilities, image, params))
    pruned = refine("numba", prune_below=PRUNE_BELOW)
    found[f"pruned below {PRUNE_BELOW} to not pruned"] = compare(pruned, numba)
    return found


def start_binding():
    """The process of benchmarks/binding_worker.py; None without --binding_python."""
    if not FLAGS.binding_python:
        return None
    return Worker(FLAGS.binding_python, "binding_worker.py", "pydensecrf")


def main(_):
    """Print the table."""
    crops = load_crops()
    process = start_binding()
    print(f"{'':14}{'':32}{'equal labels':>14}{'mean |dQ|':>12}")
    with tempfile.TemporaryDirectory() as folder:

        def by_binding(*case):
            return run_binding(process, Path(folder), *case)

        for name, values in PUBLISHED.items():
            params = CRFParams(**dict(zip(FIELDS, values, strict=True)))
            results = [
                run_all(*crop, params, by_binding if process else None)
                for crop in tqdm(crops, desc=name, unit="crop", leave=False)
            ]
            for what in results[0]:
                agreement, error = np.mean([result[what] for result in results], axis=0)
                print(f"{name:14}{what:32}{agreement:14.4f}{error:12.2e}", flush=True)


if __name__ == "__main__":
    app.run(main)
