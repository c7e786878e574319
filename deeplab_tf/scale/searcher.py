"""`search-crf` on a Ray cluster: workers compute probabilities, and score points on them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from crf.threads import available_threads
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.crf_search import count_point, restore
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.scale.pool import Task, WorkerPool
from deeplab_tf.scale.worker import Worker, start_workers

# Images that a worker refines with the same parameters, or as many as it has processors.
PART = 4
# Workers that may die of a part before the search ends.
DEATHS = 3


class Searcher(Worker):
    """Computes probabilities, and counts what a set of parameters makes of them.

    Args:
      files, version, cpus: see `Worker`.
      settings: dict of the settings of `predict_probabilities`.
      num_classes: number of classes.
    """

    def __init__(self, files, settings, num_classes, version, cpus=None):
        super().__init__(files, version, cpus)
        self._settings, self._num_classes = settings, num_classes

    def work(self, task):
        """Do a part of the search.

        Args:
          task: ("probabilities", image), or ("count", `CRFParams` or None, list of references of
            (image, truth, probabilities as `ProbabilityCache` stores them), number of the point).

        Returns:
          (H, W, C) float32, or the sum of the confusion matrices, (C, C) int64.
        """
        if task[0] == "probabilities":
            return predict_probabilities(self.network, task[1], **self._settings)
        import ray

        def count(found):
            image, truth, stored = found
            return count_point(task[1], image, truth, restore(stored), self._num_classes)

        # As in `PointScorer`, each thread refines another image.
        with ThreadPoolExecutor(available_threads()) as threads:
            return sum(threads.map(count, ray.get(task[2])))


class RayPointScorer:
    """`PointScorer` on a Ray cluster, with the same scores; close it at the end.

    Args:
      ray: the connected module.
      plan: `WorkerPlan`.
      files: `ModelFiles`.
      settings: dict of the settings of `predict_probabilities`.
      num_classes: number of classes.
      progress: as in `PointScorer`.
      notice: function that prints a line.
    """

    def __init__(self, ray, plan, files, settings, num_classes, progress, notice=print):
        self._ray, self._num_classes, self._progress = ray, num_classes, progress
        start = start_workers(ray, Searcher, plan, ray.put(files), settings, num_classes)
        self._pool, self._cpus = WorkerPool(ray, start, plan.count, notice), plan.cpus
        self._parts, self._num_images = [], 0

    def close(self):
        """End the workers."""
        self._pool.close()

    def probabilities(self, images):
        """Yield (image, its probabilities (H, W, C) float32) for a list of images, in any order."""
        tasks = (Task(("probabilities", image)) for image in images)
        for task, found in self._pool.run(tasks, _again):
            yield task.work[1], found

    def send(self, pairs, stored):
        """Put the images where all workers find them.

        Args:
          pairs: list of (image, truth).
          stored: function from an image to its probabilities as `ProbabilityCache` stores them.
        """
        references = [self._ray.put((*pair, np.array(stored(pair[0])))) for pair in pairs]
        self._num_images = len(references)
        size = max(PART, self._cpus)
        starts = range(0, len(references), size)
        self._parts = [references[start : start + size] for start in starts]

    def __call__(self, points):
        """Yield the mean IoU of each point, as `PointScorer` does."""
        tasks = (
            Task(("count", point, part, number))
            for number, point in enumerate(points)
            for part in self._parts
        )
        sums = [np.zeros((self._num_classes,) * 2, np.int64) for _ in points]
        missing, following = [len(self._parts)] * len(points), 0
        total = len(points) * self._num_images
        images = self._progress(self._images(tasks), total=total, desc=f"{len(points)} points")
        for number, matrix in filter(None, images):
            sums[number] += matrix
            missing[number] -= 1
            while following < len(points) and not missing[following]:
                yield self._miou(sums[following])
                following += 1

    def _images(self, tasks):
        """(number of the point, matrix) after the last image of a part, None after the others."""
        for task, matrix in self._pool.run(tasks, _again):
            _, _, part, number = task.work
            yield from [None] * (len(part) - 1)
            yield number, matrix

    def _miou(self, matrix):
        confusion = ConfusionMatrix(self._num_classes)
        confusion.matrix = matrix
        if not matrix.any():
            raise InputError("the true labels are void everywhere; search on other images")
        return confusion.miou


def _again(task):
    if task.deaths < DEATHS:
        return [task]
    raise InputError(
        f"{task.deaths} workers died while they did the same part of the search; does their memory "
        "suffice? Try larger --ray_cpus for fewer workers on a machine"
    )
