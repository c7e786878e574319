"""The driver of a large job: hands out the images that are not done yet, and keeps count."""

import hashlib
import itertools
from typing import NamedTuple

from deeplab_tf.scale.labeler import Labeler
from deeplab_tf.scale.pool import Task, WorkerPool
from deeplab_tf.scale.table import (
    failed_row,
    is_written,
    part_names,
    read_parts,
    schema,
    write_part,
)
from deeplab_tf.scale.worker import start_workers

# Deaths of workers after which the images of a part are done one by one.
DEATHS_OF_A_PART = 2

# Parts for each worker at least, so that all end at about the same time.
PARTS_PER_WORKER = 4


class Finished(NamedTuple):
    """What a job has done so far.

    Args:
      sources: set of the digests of `Item.source` of the images that are in the table.
      labels: set of the digests of their label files' paths.
      failed: list of (image, reason) of those without labels.
    """

    sources: set
    labels: set
    failed: list


def digest_of(source):
    """16 bytes that stand for an image in memory; those of millions of images differ."""
    return hashlib.blake2b(source.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def read_finished(out_dir):
    """What the table in a folder says.

    Returns:
      `Finished`.

    Raises:
      InputError: naming a damaged file of the table.
    """
    found = Finished(set(), set(), [])
    for _, table in read_parts(out_dir):
        found.sources.update(map(digest_of, table["source"].to_pylist()))
        if "label_file" in table.column_names:
            labels = filter(None, table["label_file"].to_pylist())
            found.labels.update(map(digest_of, labels))
        rows = zip(table["image"].to_pylist(), table["error"].to_pylist(), strict=True)
        found.failed.extend((image, error) for image, error in rows if error is not None)
    return found


def remaining(sources, done, has_files=True):
    """Yield the `Item`s that have no row yet; of those with one label file all but one are refused.

    Args:
      sources: list of what `open_inputs` gives.
      done: `Finished`.
      has_files: whether there are label files; otherwise the labels are in the table.
    """
    taken = set(done.labels)
    for source in sources:
        for item in source.items():
            if digest_of(item.source) in done.sources:
                continue
            if has_files:
                label = digest_of(item.label)
                if label in taken:
                    item = item._replace(refused=_refusal(item))
                taken.add(label)
            yield item


def _refusal(item):
    name = item.name or item.source
    return f"{name}: {item.label} has the labels of another image; rename one of them"


class LabelRun:
    """One run of a job.

    Args:
      ray: the connected module.
      plan: `WorkerPlan`.
      files: `ModelFiles`.
      job: `LabelJob`.
      notice: function that prints a line.
    """

    def __init__(self, ray, plan, files, job, notice):
        self._ray, self._plan, self._job, self._notice = ray, plan, job, notice
        self._arguments = ray.put(files), job

    def label(self, items, part_size):
        """Label images.

        Args:
          items: iterable of `Item`, read as workers have room.
          part_size: images of a part.

        Yields:
          (number of images, list of (image, reason) of those without labels) for every part.

        Raises:
          InputError: of a worker, or if none can be started.
        """
        given_up = []

        def again(task):
            name, part = task.work
            if is_written(self._job.out_dir, name):  # it died just after
                given_up.append((len(part), []))
                return []
            if task.deaths < DEATHS_OF_A_PART:
                return [task]
            if len(part) > 1:
                names = (f"{name}-{number:04d}" for number in itertools.count())
                return [Task((next(names), [item]), DEATHS_OF_A_PART - 1) for item in part]
            name_of_image = part[0].name or part[0].source
            reason = f"{name_of_image}: every worker that labeled it died; does its memory suffice?"
            rows = [failed_row(part[0], reason)]
            write_part(self._job.out_dir, name, rows, schema(self._job.classes, self._job.in_table))
            given_up.append((1, [(rows[0]["image"], reason)]))
            return []

        start = start_workers(self._ray, Labeler, self._plan, *self._arguments)
        pool = WorkerPool(self._ray, start, self._plan.count, self._notice)
        try:
            for task, failed in pool.run(self._parts(items, part_size), again):
                yield len(task.work[1]), failed
                while given_up:
                    yield given_up.pop()
            yield from given_up
        finally:
            pool.close()

    def _parts(self, items, part_size):
        earlier = [int(name[:4]) for name in part_names(self._job.out_dir) if name[:4].isdigit()]
        run = max(earlier, default=0) + 1
        items = iter(items)
        for number in itertools.count():
            part = list(itertools.islice(items, part_size))
            if not part:
                return
            yield Task((f"{run:04d}-{number:08d}", part))


def size_of_parts(count, workers, limit):
    """Images of a part: at most `limit`, fewer if there are few images for the workers."""
    return max(1, min(limit, -(-count // (workers * PARTS_PER_WORKER))))
