"""`predict --runner=ray`: label an archive of images on a Ray cluster."""

import contextlib
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from deeplab_tf.commands.flags.crf import crf_memory, crf_params
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.model import open_model, recorded_settings, segment_settings
from deeplab_tf.commands.flags.runner import workers_of
from deeplab_tf.commands.outputs import print_written
from deeplab_tf.data.checks.findings import some
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.opened import refuse_second_crf
from deeplab_tf.files import lock_folder
from deeplab_tf.models.locate import model_checksum
from deeplab_tf.scale.inputs import open_inputs
from deeplab_tf.scale.labeler import LabelJob
from deeplab_tf.scale.labels import LabelRun, read_finished, remaining, size_of_parts
from deeplab_tf.scale.model_files import read_model
from deeplab_tf.scale.session import import_pyarrow, import_ray, ray_session
from deeplab_tf.scale.storage import is_url, join
from deeplab_tf.scale.table import TABLE, begin_job, clean, forget_failures, schema

# What `predict` draws of single images, and the depth maps that it reads.
UNUSED_FLAGS = (
    "overlay_alpha", "side_by_side", "class_maps", "probabilities_out", "probabilities_format",
    "contact_sheet_out", "panel_out", "panel_rows", "depth_dir", "camera",
)  # fmt: skip
ARCHIVE_FLAGS = (
    "inputs", "labels_format", "ray_batch", "ray_part", "retry_failed", "image_column",
    "name_column",
)  # fmt: skip

LABEL_FORMATS = ("png", "parquet")
GPU_BATCH = 8
NAMED_FAILURES = 20  # images without labels that are named; the table has them all


def define_archive_flags(values):
    """Define the flags of images and labels that are for Ray alone, `ARCHIVE_FLAGS`."""
    define = heading(values, "Ray")
    define.multi_string(
        "inputs",
        [],
        "Images for --runner=ray: a file, a folder with all its folders, a pattern such as "
        "'photos/**/*.jpg', a .txt file with a path in each line, a Parquet or TFRecord file; all "
        "of them here or in a store, s3://BUCKET/KEY or gs://BUCKET/KEY. It may be given several "
        "times; the arguments after the flags mean the same.",
    )
    define.enum(
        "labels_format",
        "png",
        LABEL_FORMATS,
        "png: a file for each image, in folders as the images are. parquet: a column of the table "
        "that --runner=ray writes.",
    )
    define.integer(
        "ray_batch",
        None,
        "Images of one size that the network sees at once, at most. Default: 1, which gives the "
        f"labels of single images bit by bit, and {GPU_BATCH} on GPUs.",
        lower_bound=1,
    )
    define.integer(
        "ray_part",
        64,
        "Images that a worker gets at a time, at most; the labels of such a part are done or not.",
        lower_bound=1,
    )
    define.bool("retry_failed", False, "Try images again that an earlier run could not label.")
    define.string(
        "image_column",
        None,
        "Column of Parquet or feature of TFRecord files with the bytes of an image file. Default: "
        "image, image/encoded, image_bytes or bytes.",
    )
    define.string(
        "name_column",
        None,
        "Column or feature with the image's name. Default: name, image/filename, file_name, "
        "filename, path or __key__, if there is one.",
    )


def label_on_ray(flags, images, max_side):
    """Label all images that have no labels yet.

    Args:
      flags: the parsed flags of `predict`.
      images: the arguments that are no flags.
      max_side: see `LabelJob`.

    Raises:
      InputError: if something cannot be used, and at the end if images are left without labels.
    """
    refuse_given(flags, UNUSED_FLAGS, "has no effect with --runner=ray; leave it out")
    if flags.input != "rgb":
        raise InputError(
            f"--input={flags.input}: --runner=ray reads no depth maps; leave out --runner=ray"
        )
    import_ray()
    import_pyarrow()
    out_dir = flags.out_dir if is_url(flags.out_dir) else str(Path(flags.out_dir).absolute())
    job, identity = make_job(flags, out_dir, max_side)
    sources = open_inputs([*flags.inputs, *images], out_dir, job.columns)
    lock = contextlib.nullcontext() if is_url(out_dir) else lock_folder(out_dir, "another run")
    with lock:
        begin_job(out_dir, identity)
        clean(out_dir)
        if flags.retry_failed:
            forget_failures(out_dir, schema(job.classes, job.in_table))
        run(flags, job, sources)
        report(out_dir)


def make_job(flags, out_dir, max_side):
    """Open the model to check all flags early.

    Returns:
      (`LabelJob`, dict of all that the labels depend on).
    """
    model, label_set = open_model(flags)
    params, memory = crf_params(flags, label_set.num_classes), crf_memory(flags)
    if params:
        refuse_second_crf(model)
    job = LabelJob(
        out_dir,
        label_set.names,
        label_set.color_table(),
        model.input_shape[-1],
        segment_settings(flags),
        params,
        memory,
        max_side,
        flags.ray_batch or 1,
        flags.labels_format == "parquet",
        (flags.image_column, flags.name_column),
    )
    identity = {
        "model": model_checksum(flags.model),
        "settings": recorded_settings(flags),
        "crf": asdict(params) if params else None,
        "crf_max_memory": memory,
        "max_side": max_side,
        "labels_format": flags.labels_format,
    }
    return job, identity


def run(flags, job, sources):
    """Label what is not in the table yet, with a progress bar."""
    done = read_finished(job.out_dir)
    total = sum(source.count for source in sources)
    left = sum(1 for _ in remaining(sources, done)) if done.sources else total
    if left < total:
        print(f"{total - left} of {total} images are done already")
    if not left:
        return
    with ray_session(flags.ray_address) as ray:
        plan = workers_of(flags, ray)
        if plan.gpus and not flags.ray_batch:
            job = job._replace(batch=GPU_BATCH)
        gpus = f" and {plan.gpus:g} GPUs" if plan.gpus else ""
        print(f"workers: {plan.count}, each with {plan.cpus} processors{gpus}", flush=True)
        files = read_model(flags.model, flags.output_stride, flags.precision)
        labeling = LabelRun(ray, plan, files, job, tqdm.write)
        items = remaining(sources, done, has_files=not job.in_table)
        size, named = size_of_parts(left, plan.count, flags.ray_part), 0
        with tqdm(total=total, initial=total - left, unit="image", smoothing=0.05) as bar:
            for count, failed in labeling.label(items, size):
                for _, reason in failed[: max(0, NAMED_FAILURES - named)]:
                    tqdm.write(f"left out: {reason}")
                named += len(failed)
                bar.update(count)


def report(out_dir):
    """Print what the table holds; `InputError` if images are without labels."""
    sources, _, failed = read_finished(out_dir)
    print(f"{len(sources) - len(failed)} images have labels")
    print_written(join(out_dir, TABLE))
    if failed:
        names = some((image for image, _ in failed), NAMED_FAILURES)
        raise InputError(
            f"{len(failed)} of {len(sources)} images were left out: {names}; the column error of "
            f"{join(out_dir, TABLE)} says why, and --retry_failed tries them again"
        )
