"""Checks that a command can write its output files, before it does the work."""

from pathlib import Path

from deeplab_tf.data.lists import IMAGE_EXTENSIONS
from deeplab_tf.errors import InputError


def check_output_files(*paths):
    """Create the folders of files to write, so that a wrong path fails before the work.

    Args:
      *paths: paths of the files; None and "" are skipped.

    Raises:
      InputError: if a path is a folder.
      OSError: if its folder cannot be created.
    """
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)


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
            raise InputError(f"{path}: results would be among the images; give another --out_dir")
        found = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_EXTENSIONS and not file.name.startswith(".")
        ]
        if not found:
            raise InputError(f"{path}: no image there ends with {', '.join(IMAGE_EXTENSIONS)}")
        yield from found
