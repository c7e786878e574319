"""Evaluates images as PyTorch ports of DeepLab do, for benchmarks/evaluation.py.

Needs torch, numpy and OpenCV; pydensecrf may be installed in another environment with the same
version of Python. The first line of standard input is JSON: `network`, `scales`, `num_classes`,
`images` and `labels` (files), `params` of the CRF, the number of CRF `processes`, and
`binding_folder`, where pydensecrf is installed. Each further line asks for an evaluation of all
images; the answer is the seconds of the network, of the CRF for one image after another, and of the
CRF in all processes.
"""

import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import torch
from torch.nn import functional
from torch_networks import NETWORKS

MEAN_BGR = (103.939, 116.779, 123.68)


def score(network, scales, image):
    """Scores (C, h, w) of a BGR image: the maximum over its scales, each resized to the first."""
    batch = torch.from_numpy(np.float32(image - np.float32(MEAN_BGR)).transpose(2, 0, 1))[None]
    fused = None
    for scale in scales:
        size = [int(side * scale) for side in batch.shape[2:]]
        scores = network(_resize(batch, size))
        fused = scores if fused is None else torch.maximum(fused, _resize(scores, fused.shape[2:]))
    return fused[0].numpy()


def refine(scores, image, params):
    """Upsample scores (C, h, w) and refine them by the CRF; returns labels (H, W)."""
    import pydensecrf.densecrf as binding
    import pydensecrf.utils

    height, width = image.shape[:2]
    scores = _resize(torch.from_numpy(scores)[None], (height, width))
    probabilities = functional.softmax(scores, dim=1)[0].numpy()
    model = binding.DenseCRF2D(width, height, len(probabilities))
    unary = pydensecrf.utils.unary_from_softmax(probabilities)
    model.setUnaryEnergy(np.ascontiguousarray(unary))
    model.addPairwiseGaussian(sxy=params["sigma_gamma"], compat=params["w2"])
    rgb = np.ascontiguousarray(image[..., ::-1])
    model.addPairwiseBilateral(
        sxy=params["sigma_alpha"], srgb=params["sigma_beta"], rgbim=rgb, compat=params["w1"]
    )
    refined = np.array(model.inference(params["iterations"]))
    return refined.reshape(-1, height, width).argmax(axis=0)


def _resize(batch, size):
    return functional.interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False)


def prepare_process(binding_folder):
    """Start a process of the pool: import pydensecrf, and use one thread."""
    sys.path.append(binding_folder)
    torch.set_num_threads(1)
    import pydensecrf.densecrf  # noqa: F401


def count(matrix, truths, labels):
    """Add labels to the confusion matrix."""
    classes = len(matrix)
    for truth, label in zip(truths, labels, strict=True):
        valid = truth < classes
        pairs = truth[valid].astype(np.int64) * classes + label[valid]
        matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


class Evaluation:
    """Evaluates the images of a job, one stage after another."""

    def __init__(self, job):
        self._job = job
        sys.path.append(job["binding_folder"])
        torch.manual_seed(0)
        self._network = NETWORKS[job["network"]](job["num_classes"]).eval()
        self._pool = ProcessPoolExecutor(
            job["processes"],
            # A process that is forked while threads compute may deadlock.
            multiprocessing.get_context("spawn"),
            prepare_process,
            (job["binding_folder"],),
        )

    def run(self):
        """Run all stages; returns their seconds."""
        job, clock = self._job, time.perf_counter
        start = clock()
        images = [cv2.imread(path) for path in job["images"]]
        truths = [cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in job["labels"]]
        matrix = np.zeros((job["num_classes"], job["num_classes"]), np.int64)
        with torch.inference_mode():
            scores = [score(self._network, job["scales"], image) for image in images]
        network = clock() - start
        start = clock()
        params = [job["params"]] * len(images)
        labels = list(map(refine, scores, images, params))
        count(matrix, truths, labels)
        one_by_one = clock() - start
        start = clock()
        again = list(self._pool.map(refine, scores, images, params))
        count(matrix, truths, again)
        together = clock() - start
        assert all(np.array_equal(*pair) for pair in zip(labels, again, strict=True))
        return {"network": network, "one_by_one": one_by_one, "together": together}

    def close(self):
        """End the processes."""
        self._pool.shutdown()


def main():
    """Read the job, then answer requests until the input ends."""
    evaluation = Evaluation(json.loads(sys.stdin.readline()))
    for _ in sys.stdin:
        print(json.dumps(evaluation.run()), flush=True)
    evaluation.close()


if __name__ == "__main__":
    main()
