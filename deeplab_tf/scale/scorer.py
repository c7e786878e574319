"""`evaluate` on a Ray cluster: workers score parts of a data set, whose counts are added up."""

from pathlib import Path
from typing import Any, NamedTuple

from deeplab_tf.data.checks.findings import some
from deeplab_tf.data.examples import RecordExample
from deeplab_tf.data.inputs import DepthExample
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.calibration import Calibration
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.result_scores import ResultScores, add_prediction
from deeplab_tf.scale.pool import Task, WorkerPool
from deeplab_tf.scale.worker import Worker, start_workers

# Images of a part; each worker has two parts at a time.
PART = 16
# Workers that may die of a part before the run ends.
DEATHS = 3


class ScoreJob(NamedTuple):
    """What is scored.

    Args:
      num_classes: number of classes without void.
      num_results: 1, or 2 with a CRF.
      params, encoding, settings: see `predict_examples`.
      trimap_border, calibration: see `ResultScores`.
      shown_every: one of this many images is sent back as a whole; None: none.
      with_labels: whether the labels of every image are sent back.
    """

    num_classes: int
    num_results: int
    params: Any
    encoding: Any
    settings: dict
    trimap_border: str | None = None
    calibration: bool = False
    shown_every: int | None = None
    with_labels: bool = False

    def new_results(self, num_images):
        """Empty `ResultScores` for each result, a list."""
        shape = num_images, self.trimap_border, self.calibration
        return [ResultScores(self.num_classes, *shape) for _ in range(self.num_results)]


class ScoredPart(NamedTuple):
    """What a worker has found out about the images of a part.

    Args:
      results: list of `ResultScores` of these images.
      calibrations: for each result the `Calibration.sums` of every image, or an empty list.
      shown: list of (index, (image, truth, *labels)).
      labels: list of (H, W) uint8, or empty.
    """

    results: list
    calibrations: list
    shown: list
    labels: list


class Scorer(Worker):
    """Scores parts of a data set.

    Args:
      files, version, cpus: see `Worker`.
      job: `ScoreJob`.
    """

    def __init__(self, files, job, version, cpus=None):
        super().__init__(files, version, cpus)
        self._job = job

    def work(self, part):
        """Score images.

        Args:
          part: (indices among all images, examples), two lists.

        Returns:
          `ScoredPart`.
        """
        (indices, examples), job = part, self._job
        results = job.new_results(len(examples))
        scored = ScoredPart(results, [[] for _ in results], [], [])
        found = predict_examples(
            self.model, examples, job.params, job.encoding, job.calibration, **job.settings
        )
        for number, (index, one) in enumerate(zip(indices, found, strict=True)):
            if job.calibration:
                for result in scored.results:
                    result.calibration = Calibration()  # of this image alone
            add_prediction(scored.results, number, one)
            if job.calibration:
                for sums, result in zip(scored.calibrations, scored.results, strict=True):
                    sums.append(result.calibration.sums)
            if job.shown_every and index % job.shown_every == 0:
                scored.shown.append((index, (one.image, one.truth, *one.labels)))
            if job.with_labels:
                scored.labels.append(one.labels[-1])
        return scored


def score_on_ray(ray, plan, files, job, examples, results, write=None, notice=print):
    """Score all examples; the counts are those of one process.

    Args:
      ray: the connected module.
      plan: `WorkerPlan`.
      files: `ModelFiles`.
      job: `ScoreJob`.
      examples: list of `Example`, `RecordExample` or `DepthExample`, whose files every machine must
        be able to read.
      results: list of `ResultScores`, which are updated.
      write: function of (example, labels) for every image, if `job.with_labels`.
      notice: function that prints a line.

    Yields:
      (number of images, list of (index, (image, truth, *labels)) to show) of each part.

    Raises:
      InputError: of a worker, or if workers die again and again.
    """
    calibrations, jobs = {}, ray.put(files)
    pool = WorkerPool(ray, start_workers(ray, Scorer, plan, jobs, job), plan.count, notice)
    size = max(1, min(PART, -(-len(examples) // (2 * plan.count))))
    try:
        for task, scored in pool.run(_parts(examples, size), _again):
            indices, _ = task.work
            for result, part in zip(results, scored.results, strict=True):
                result.merge(part, indices)
            calibrations[indices[0]] = scored.calibrations
            for index, labels in zip(indices, scored.labels, strict=False):
                write(examples[index], labels)
            yield len(indices), scored.shown
    finally:
        pool.close()
    # Floating-point sums depend on the order: added in that of the images they are those of one
    # process.
    for _, parts in sorted(calibrations.items()) if job.calibration else ():
        for result, sums in zip(results, parts, strict=True):
            for one in sums:
                result.calibration.sums += one


def _parts(examples, size):
    for start in range(0, len(examples), size):
        indices = list(range(start, min(start + size, len(examples))))
        yield Task((indices, [_absolute(examples[index]) for index in indices]))


def _absolute(example):
    """An example that a process in another working directory can read."""
    if isinstance(example, RecordExample):
        return example._replace(path=_whole(example.path))
    if isinstance(example, DepthExample):
        color, depth_file = _absolute(example.color), _whole(example.depth_file)
        return example._replace(color=color, depth_file=depth_file)
    return example._replace(image=_whole(example.image), label=_whole(example.label))


def _whole(path):
    return path and str(Path(path).absolute())


def _again(task):
    if task.deaths < DEATHS:
        return [task]
    names = some(example.name for example in task.work[1])
    raise InputError(
        f"{task.deaths} workers died while they scored {names}; does their memory suffice? "
        "Try --tile or --crf_max_memory, or larger --ray_cpus for fewer workers on a machine"
    )
