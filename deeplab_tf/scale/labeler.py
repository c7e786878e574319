"""The worker that labels the images of a part: network, CRF, label files, and a row for each."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from crf.memory import inference_bytes
from crf.threads import available_threads
from deeplab_tf.data.checks.image_inspection import decode_inspected
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation.inference import (
    apply_crf,
    most_probable,
    predict_batch,
    predict_probabilities,
)
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.evaluation.predict_dataset import (
    MAX_READERS,
    available_share,
    threads_per_image,
)
from deeplab_tf.scale.reader import Reader
from deeplab_tf.scale.storage import join, write_place
from deeplab_tf.scale.table import failed_row, schema, write_part
from deeplab_tf.scale.worker import Worker, stages

# Pixels of the images that wait for others of their size, at most.
WAITING_PIXELS = 64 * 2**20


class LabelJob(NamedTuple):
    """How images are labeled, and where the results go.

    Args:
      out_dir: path or URL of the folder of the results.
      classes: names of the classes.
      colors: (n, 3) uint8, of the label files' palette.
      channels: of the images.
      settings: dict of the settings of `predict_probabilities`.
      params: `CRFParams`; None: no CRF.
      max_memory: of the CRF, see `apply_crf`.
      max_side: of the image that is scored, see `shrink`; None: no limit.
      batch: images of one size that the network sees at once, at most.
      in_table: whether the label files are a column of the table.
      columns: names of the image and of its name in Parquet and TFRecord files; None: the usual.
    """

    out_dir: str
    classes: tuple
    colors: np.ndarray
    channels: int
    settings: dict
    params: Any = None
    max_memory: float | None = None
    max_side: int | None = None
    batch: int = 1
    in_table: bool = False
    columns: tuple = (None, None)


class Loaded(NamedTuple):
    """An image of an `Item`: as it is, as it is scored, and what was done to it; or an error."""

    item: NamedTuple
    name: str
    size: tuple = ()
    seen: np.ndarray | None = None
    note: str = ""
    error: str = ""


class Labeler(Worker):
    """Labels parts of a job.

    Args:
      files, version, cpus: see `Worker`.
      job: `LabelJob`.
    """

    def __init__(self, files, job, version, cpus=None):
        super().__init__(files, version, cpus)
        self._job, self._reader = job, Reader(*job.columns)

    def work(self, part):
        """Label the images of a part, and write their labels and rows.

        Args:
          part: (name of the part, list of `Item`).

        Returns:
          List of (image, reason) of those that could not be labeled.
        """
        name, items = part
        order = {item.source: number for number, item in enumerate(items)}
        columns = schema(self._job.classes, self._job.in_table)
        try:
            rows = sorted(self._rows(items), key=lambda row: order[row["source"]])
            # Last, because it records that the images are done.
            write_part(self._job.out_dir, name, rows, columns)
        except OSError as error:
            raise InputError(
                f"{self._job.out_dir}: cannot be written by a worker: {error}"
            ) from None
        return [(row["image"], row["error"]) for row in rows if row.get("error")]

    def _rows(self, items):
        job, memory, num_threads = self._job, available_share(), available_threads()

        def crf_threads(scored):
            if not job.params or scored[1] is None:
                return 1
            needed = min(inference_bytes(*scored[1].shape), job.max_memory or np.inf)
            return threads_per_image(needed, len(items), num_threads, memory)

        with stages() as stage:
            loaded = stage(prefetch_map(self._load, items, MAX_READERS, ready=1))
            groups = by_size(loaded, job.batch)
            scored = stage(prefetch_map(self._score, groups, 1, ready=1))
            single = (one for group in scored for one in group)

            def label(one):
                return self._label(*one, crf_threads(one))

            yield from stage(prefetch_map(label, single, num_threads, ready=1, weigh=crf_threads))

    def _load(self, item):
        name = item.name or item.source
        if item.refused:
            return Loaded(item, name, error=item.refused)
        try:
            name, contents = self._reader.read(item)
            image, note = decode_inspected(contents, name, self._job.channels)
            seen = shrink(image, self._job.max_side)
        except Exception as error:  # decoders raise whatever they like for a damaged file
            if isinstance(error, InputError):
                return Loaded(item, name, error=str(error))
            return Loaded(item, name, error=f"{type(error).__name__}: {one_line(error)}")
        size = image.shape[:2]
        if seen.shape[:2] != size:
            scored = f"scored at {seen.shape[1]}x{seen.shape[0]} pixels"
            note = "; ".join(filter(None, [note, scored]))
        return Loaded(item, name, size, seen, note)

    def _score(self, group):
        """List of (`Loaded`, probabilities (h, w, C) float32 or None) of images of one size."""
        settings = self._job.settings
        one_by_one = isinstance(self.model, OpenedModel) or settings.get("tile")
        if len(group) > 1 and not one_by_one:
            batched = {name: value for name, value in settings.items() if name != "tile"}
            images = np.stack([loaded.seen for loaded in group])
            try:
                return list(zip(group, predict_batch(self.network, images, **batched), strict=True))
            except tf.errors.ResourceExhaustedError:
                pass  # one after another they may fit
        return [self._score_one(loaded) for loaded in group]

    def _score_one(self, loaded):
        if loaded.error:
            return loaded, None
        try:
            return loaded, predict_probabilities(self.network, loaded.seen, **self._job.settings)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            height, width = loaded.seen.shape[:2]
            reason = f"not enough memory for {width}x{height} pixels; use --tile"
        except InputError as error:
            reason = str(error)
        return loaded._replace(error=f"{loaded.name}: {reason}"), None

    def _label(self, loaded, probabilities, num_threads):
        item, job = loaded.item, self._job
        row = failed_row(item, loaded.error) | {"image": loaded.name}
        if loaded.error:
            return row
        try:
            if job.params is not None:
                options = {"num_threads": num_threads, "max_memory": job.max_memory}
                with tf.device("CPU"):  # the network may need all of a GPU
                    probabilities = apply_crf(
                        probabilities, loaded.seen, job.params, engine="numba", **options
                    )
            labels = most_probable(probabilities, loaded.size)
        except (InputError, MemoryError) as error:
            return row | {"error": f"{loaded.name}: {one_line(error)}"}
        png = encode_label(labels, job.colors)
        if job.in_table:
            row["label_png"] = png
        else:
            write_place(join(job.out_dir, item.label), png)
            row["label_file"] = item.label
        counts = np.bincount(labels.ravel(), minlength=len(job.classes)).tolist()
        return row | {
            "height": loaded.size[0],
            "width": loaded.size[1],
            "areas": dict(zip(job.classes, counts, strict=True)),
            "confidence": float(probabilities.max(axis=-1).mean(dtype=np.float64)),
            "note": loaded.note or None,
            "error": None,
        }


def by_size(loaded, batch, pixels=WAITING_PIXELS):
    """Gather images of one size, however they are mixed.

    Args:
      loaded: iterable of `Loaded`.
      batch: images of a group, at most.
      pixels: that images may have together while they wait for others; then the oldest group is
        given away as it is.

    Yields:
      Lists of `Loaded` of one size; an image with an error is alone.
    """
    waiting, held = defaultdict(list), 0
    for one in loaded:
        if one.error:
            yield [one]
            continue
        height, width = size = one.seen.shape[:2]
        waiting[size].append(one)
        held += height * width
        if len(waiting[size]) < batch:
            if held <= pixels:
                continue
            height, width = size = next(iter(waiting))
        group = waiting.pop(size)
        held -= len(group) * height * width
        yield group
    yield from waiting.values()
