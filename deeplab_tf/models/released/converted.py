"""Released networks by name: downloaded and converted once, then loaded from the cache."""

from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder
from deeplab_tf.models.files import BEST
from deeplab_tf.models.released.pytorch import SUFFIXES, import_pytorch
from deeplab_tf.models.released.tensorflow import import_tensorflow
from deeplab_tf.pretrained.released import RELEASED, converted_folder, released_file


def find_converted(name):
    """The Keras file of a released network; the first time it is downloaded and converted.

    Args:
      name: one of `released_names()`.

    Returns:
      Path of a `.keras` file; its classes are in `labels.json` next to it.

    Raises:
      InputError: if the network cannot be downloaded, or its file is damaged or another one.
    """
    folder = converted_folder(name)
    if not (folder / BEST).is_file():
        with released_file(name) as path:
            _convert(path, name, folder)
    return folder / BEST


def _convert(path, name, folder):
    label_set = RELEASED[name].label_set
    read = import_pytorch if path.name.endswith(SUFFIXES) else import_tensorflow
    imported = read(path, num_classes=label_set.num_classes)
    if imported.missing:
        raise InputError(
            f"{path}: has no weights for {', '.join(imported.missing[:3])}; delete the file and "
            "download it again"
        )
    with new_folder(folder, overwrite=True) as unfinished:
        imported.model.save(unfinished / BEST)
        label_set.save(unfinished / "labels.json")
