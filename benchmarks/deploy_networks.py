"""The networks that deploy.py measures, their peers in PyTorch, and their images."""

from benchmarks.photographs import find_examples
from deeplab_tf.commands.calibration import calibration_examples
from deeplab_tf.data.voc import read_split
from deeplab_tf.models import load_card, load_model
from deeplab_tf.pretrained import pretrained_names

SHIPPED = pretrained_names()


def torch_network(name):
    """The name in torch_networks.py of a network with the same architecture."""
    if name not in SHIPPED:
        return name
    card = load_card(name)
    trained = card.network["output_stride"]
    stride = card.testing.get("output_stride", trained)
    return f"{card.network['backbone']}_{card.network['head']}_{trained}_{stride}"


def count_classes(name, file=None):
    """The number of classes of a network.

    Args:
      name: of the network.
      file: of the trained one; None: it comes with the package, or has random weights.

    Returns:
      The number; None for random weights.
    """
    if name in SHIPPED:
        return load_card(name).network["num_classes"]
    return load_model(file).output_shape[-1] if file else None


def find_images(data_dir, folder, count, limit=None):
    """The image files with which a network is measured.

    Args:
      data_dir: data set in VOC layout; None: there is none.
      folder: where synthetic images are written for a network without data.
      count: number of images to calibrate 8 bits with; they are those of `export --int8`.
      limit: number of images to score; None: all of the list val.

    Returns:
      {"calibration": files, "score": {"images": files, "labels": files}, or None without data}.
    """
    if data_dir is None:
        examples, _ = find_examples(None, folder, count)
        return {"calibration": [example.image for example in examples], "score": None}
    calibration = [each.image for each in calibration_examples(data_dir, "train", count)]
    val = read_split(data_dir, "val")[:limit]
    score = {"images": [each.image for each in val], "labels": [each.label for each in val]}
    return {"calibration": calibration, "score": score}


def about_parameters(counts):
    """A line on whether all rows of a network have the same architecture.

    Args:
      counts: {row: number of parameters} of the rows that know it.
    """
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values())):,} parameters in {', '.join(counts)}"
    each = ", ".join(f"{count:,} in {row}" for row, count in counts.items())
    return f"note: not the same architecture, the parameters are {each}"
