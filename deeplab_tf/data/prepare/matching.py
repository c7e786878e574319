"""Matching the images and labels of two folders by the names of their files."""

from deeplab_tf.errors import InputError


def divide(examples, fraction):
    """Divide examples into training and validation, at even distances.

    An image is for validation if its fraction completes a whole number: with a fraction of 0.2,
    every fifth image.

    Args:
      examples: list.
      fraction: share for validation, at least 0 and less than 1.

    Returns:
      {"train": list, "val": list}, without "val" if the fraction is 0.

    Raises:
      InputError: if no image is left for validation.
    """
    splits = {"train": [], "val": []}
    for i, example in enumerate(examples):
        is_val = int((i + 1) * fraction) > int(i * fraction)
        splits["val" if is_val else "train"].append(example)
    if fraction and not splits["val"]:
        raise InputError(
            f"--val_fraction={fraction}: none of the {len(examples)} images is left for validation;"
            " give a larger fraction"
        )
    return {split: found for split, found in splits.items() if found or split == "train"}


def files_by_name(folder, extensions):
    """Find the files with some extensions in a folder.

    Args:
      folder: Path.
      extensions: with the dot, in lower case; capitals count too.

    Returns:
      {name without extension: Path}.

    Raises:
      InputError: if the folder or such a file is missing, two files have one name, or a name is not
        UTF-8.
    """
    found = {}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in extensions or path.name.startswith("."):
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{folder}: the name of the file {path.name!r} is not UTF-8; rename it"
            ) from None
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem].name} has the same name; remove one")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no file there ends with {' or '.join(extensions)}")
    return found


def find_listed(kind, wanted, found):
    """Find the file that a list names.

    Args:
      kind: "image" or "label", for messages.
      wanted: PurePath of a list, without extension.
      found: what `files_by_name` returned.

    Returns:
      Its path, str.

    Raises:
      InputError: if it is in another folder, or there is no such file.
    """
    folder = next(iter(found.values())).parent
    # Another folder in the list, such as SegmentationClassAug, has other files of the same names.
    if wanted.parent.name not in ("", folder.name):
        raise InputError(
            f"{folder}: a list has '{wanted}', which is in another folder; give that folder, or"
            " write only names"
        )
    if wanted.name not in found:
        raise InputError(
            f"{folder}: no {kind} of {wanted.name!r}; add it, or leave {wanted.name!r} out"
        )
    return str(found[wanted.name])
