"""The output files of a command: checks before it works; afterwards, their names and what next."""

import importlib
import os
import shlex
import shutil
import sys
from pathlib import Path

from deeplab_tf.commands.flagfiles import CONFIGS
from deeplab_tf.data.datasets import LABEL_SETS, SYNTHETIC
from deeplab_tf.data.lists import IMAGE_EXTENSIONS
from deeplab_tf.errors import InputError
from deeplab_tf.models import is_packed, is_pretrained
from deeplab_tf.models.files import export_format
from deeplab_tf.models.locate import locate_model

SHOWN_FILES = 6  # of a longer list, only the first ones are named


def command_line(name, *arguments):
    """A command as it is written in the shell.

    Args:
      name: of the command, such as "search-crf".
      *arguments: its flags and other arguments, str or paths.

    Returns:
      str, in the form in which this program was started: with `deeplab-tf`, or with a script of
      a checkout. The program has its path if it is not on the PATH, as in a virtual environment
      that is not activated.

    Example:
      >>> command_line("evaluate", "--model=my run")
      "deeplab-tf evaluate '--model=my run'"
    """
    script = Path(sys.argv[0])
    words = ["deeplab-tf", name]
    if script.parent.name == "tools" and script.suffix == ".py":
        python = _as_typed("python", sys.executable)
        words = [python, str(script.with_name(f"{name.replace('-', '_')}.py"))]
    elif script.name == "deeplab-tf":
        words = [_as_typed("deeplab-tf", script), name]
    return shlex.join([*words, *map(str, arguments)])


def _as_typed(name, program):
    """`name` if the shell finds the program's folder by it; otherwise the program's path."""
    folder, found = Path(program).parent.absolute(), shutil.which(name)
    # Links are not followed: the Python of a virtual environment is a link to another one.
    if found and Path(found).parent.absolute() == folder:
        return name
    path = folder / Path(program).name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def print_next(name, *arguments):
    """Print the command that usually follows; the arguments are those of `command_line`."""
    print(f"next: {command_line(name, *arguments)}", flush=True)


def print_written(*paths):
    """Print the names of the files that were written; None and "" are skipped."""
    paths = [str(path) for path in paths if path]
    more = f" and {len(paths) - SHOWN_FILES} more" if len(paths) > SHOWN_FILES else ""
    if paths:
        print(f"wrote {', '.join(paths[:SHOWN_FILES])}{more}", flush=True)


def beside_model(flags, name):
    """Path of an output folder of this name in the folder of --model.

    For a network that comes with the package it is in the working directory.
    """
    if is_pretrained(flags.model):
        return Path(f"{flags.model}_{name}")
    return locate_model(flags.model).parent / name


def network_name(model):
    """What to call the network of --model: the name of its folder, or of a file with all of it."""
    place = locate_model(model).absolute()
    if place.is_dir():  # a SavedModel
        return place.name
    return place.stem if is_packed(place) or export_format(place) else place.parent.name


def check_jinja(flag):
    """Raise `InputError` without Jinja2, which is installed with the extra [report] alone.

    Args:
      flag: name of the flag that asks for a page.
    """
    try:
        importlib.import_module("jinja2")
    except ImportError:
        raise InputError(
            f"--{flag} needs the Python package Jinja2, which is not installed: pip install "
            "jinja2, or install DeepLab with its extra [report]"
        ) from None


def has_published_systems(dataset):
    """Whether one of the flagfiles of published systems is for this data set."""
    line = f"--dataset={dataset}"
    return dataset in LABEL_SETS and any(
        line in path.read_text("utf-8").splitlines() for path in CONFIGS.glob("*.flags")
    )


def training_flags(dataset, data_dir, train_split, val_split, num_images):
    """Flags that train on a data set.

    For data without published systems they are those of own_photos.flags, with as many steps as
    suit the number of images.

    Args:
      dataset, data_dir: the data set.
      train_split: name of the list to train on.
      val_split: name of the list to validate on; None: no validation.
      num_images: number of images to train on.

    Returns:
      A list of str.
    """
    given = {"dataset": dataset, "data_dir": data_dir, "train_split": train_split}
    if val_split not in (None, "val"):
        given["val_split"] = val_split
    # Folders in VOC layout all have the same name of a data set.
    names = {"voc": Path(data_dir).absolute().name, "folder": "photos"}
    given["model_dir"] = f"runs/{names.get(dataset, dataset)}"
    if val_split is None:
        given["eval_images"] = 0
    if dataset in SYNTHETIC:
        given = {"flagfile": "demo", **given}
    elif not has_published_systems(dataset):
        given = {"flagfile": "own_photos", **given, "steps": suggested_steps(num_images)}
    return [f"--{name}={value}" for name, value in given.items()]


def suggested_steps(num_images):
    """Number of training steps of own_photos.flags that suits a number of images.

    Fewer images are seen more often: 50 times each of 40 images, 32 times each of 400.

    Example:
      >>> suggested_steps(40), suggested_steps(400)
      (400, 1800)
    """
    return min(5000, 200 + round(0.04 * num_images) * 100)


def as_given(flags, *names):
    """The flags of these names that were given, as on the command line, a list of str."""
    return [flags[name].serialize() for name in names if flags[name].present]


def check_output_files(*paths):
    """Create the folders of files to write, so that a wrong path fails before the work.

    Args:
      *paths: paths of the files; None and "" are skipped.

    Raises:
      InputError: if a path is a folder, or no file can be written to its folder.
      OSError: if its folder cannot be created.
    """
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{path.parent}: no file can be written here; give another folder")


def plan_image_outputs(images, out_dir, endings):
    """Choose the files to write for each image, and check that nothing is in the way.

    Args:
      images: list of paths of images, or of folders whose images are meant.
      out_dir: folder for the results.
      endings: one text for each result of an image; NAME.jpg gives NAME + ending + ".png".

    Returns:
      List of (image path, path of each result).

    Raises:
      InputError: if no image is given, one is missing, a folder has none or is `out_dir`, two
        would write the same file, or a result would replace an image.
    """
    if not images:
        raise InputError("no image is given; name the image files after the flags")
    plan, writers = [], {}
    for image in _images_of_folders(images, out_dir):
        if not image.is_file():
            raise InputError(f"{image}: no such image; check the path")
        outputs = [Path(out_dir) / f"{image.stem}{end}.png" for end in endings]
        plan.append((image, *outputs))
        for output in outputs:
            other = writers.setdefault(output, image)
            if other is not image:
                raise InputError(
                    f"{image}: its result {output} is also that of {other}; rename one of them"
                )
    inputs = {image.resolve() for image, *_ in plan}
    for output, image in writers.items():
        if output.resolve() in inputs:
            raise InputError(
                f"{image}: its result {output} would replace an input; give another --out_dir"
            )
    return plan


def _images_of_folders(paths, out_dir):
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        if path.resolve() == Path(out_dir).resolve():
            raise InputError(
                f"{path}: results would be written among the images; give another --out_dir"
            )
        found = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_EXTENSIONS and not file.name.startswith(".")
        ]
        if not found:
            raise InputError(f"{path}: has no file that ends with {', '.join(IMAGE_EXTENSIONS)}")
        yield from found
