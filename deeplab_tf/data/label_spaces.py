"""Examples with several labels: one for each score head of a network.

A data set may label its images in several label spaces, such as what things are and how surfaces
lie (SIFT Flow). A `HeadsExample` gives the labels of an example as one array with a plane for each
head, so that they are scaled, cropped and mirrored together. The names of heads are those of label
spaces: the head `geometric` has the labels of the folder `SegmentationClass_geometric`. One head
may have a name of its own: it has those of `SegmentationClass`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab_tf.data.datasets import PREPARED, further_spaces, label_encoding, open_dataset
from deeplab_tf.data.image_files import label_from
from deeplab_tf.data.voc import LABELS_FOLDER, classes_file
from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels


class HeadsExample(NamedTuple):
    """An image with a label for each score head.

    Args:
      parts: for each head, an example of this image with the head's label.
      sizes: number of classes of each head.
      encodings: `LabelEncoding` of the label files of each head; None: they hold class indices.
    """

    parts: tuple
    sizes: tuple
    encodings: tuple

    @property
    def name(self):
        """Its name in the list."""
        return self.parts[0].name

    @property
    def image(self):
        """Path, or name in messages, of the image."""
        return self.parts[0].image

    @property
    def label(self):
        """Path, or name in messages, of the first head's label; "" if there is none."""
        return self.parts[0].label

    def read(self):
        """Read the image and the labels.

        Returns:
          (bytes of the image, class indices (H, W, heads) uint8; b"" if there is no label).

        Raises:
          InputError: naming the file that cannot be used.
        """
        image, first = self.parts[0].read()
        return image, self._stack(first) if self.label else b""

    def read_label(self):
        """The labels alone, (H, W, heads) uint8; b"" if there is none."""
        return self._stack(self.parts[0].read_label()) if self.label else b""

    def _stack(self, first):
        labels = []
        contents = [first, *(part.read_label() for part in self.parts[1:])]
        for part, *rest in zip(self.parts, contents, self.sizes, self.encodings, strict=True):
            content, num_classes, encoding = rest
            labels.append(label_from(content, part.label, num_classes, encoding))
            if labels[-1].shape != labels[0].shape:
                sizes = [f"{label.shape[1]}x{label.shape[0]}" for label in (labels[-1], labels[0])]
                raise InputError(
                    f"{part.label}: size {sizes[0]} differs from the other label's {sizes[1]} "
                    f"({self.label}); make them equal"
                )
        return np.stack(labels, axis=-1)


def open_heads(dataset, data_dir, split, sizes, need_labels=True):
    """The examples of one split, with a label for each head.

    Args:
      dataset, data_dir, split, need_labels: as for `open_dataset`.
      sizes: {name of a head: number of its classes}.

    Returns:
      (list of `HeadsExample`, `HeadLabels`).

    Raises:
      InputError: as `open_dataset`, and if the data set has not these label spaces and classes.

    Example:
      >>> examples, labels = open_heads("voc", "scenes", "train", {"semantic": 5, "geometric": 3})
    """
    spaces = find_spaces(dataset, data_dir, sizes)
    opened = [open_dataset(dataset, data_dir, split, need_labels, space) for space in spaces]
    for (head, size), space, (_, label_set) in zip(sizes.items(), spaces, opened, strict=True):
        if label_set.num_classes != size:
            raise InputError(
                f"head {head} has {size} classes, but the data set {data_dir} names "
                f"{label_set.num_classes}{_where(dataset, space)}; give "
                f"--heads={head}:{label_set.num_classes}, or other data"
            )
    encodings = tuple(label_encoding(dataset, data_dir, space) for space in spaces)
    columns = zip(*(examples for examples, _ in opened), strict=True)
    examples = [HeadsExample(parts, tuple(sizes.values()), encodings) for parts in columns]
    if any(bool(part.label) != bool(each.label) for each in examples for part in each.parts):
        raise InputError(
            f"{data_dir}: images of {split} have labels of some of the heads only; add the others"
        )
    return examples, HeadLabels(tuple(sizes), tuple(label_set for _, label_set in opened))


def find_spaces(dataset, data_dir, heads):
    """The label spaces of heads.

    Args:
      dataset, data_dir: as for `open_dataset`.
      heads: names of heads.

    Returns:
      List of the names of label spaces; "" for the first one of the data set.

    Raises:
      InputError: if the data set lacks one.
    """
    further = further_spaces(dataset, data_dir)
    first = [head for head in heads if head not in further]
    if len(first) > 1:
        known = ", ".join(further) or "none"
        other = "" if dataset in PREPARED else f", or add the folder {LABELS_FOLDER}_{first[1]}"
        raise InputError(
            f"heads {' and '.join(first)}: {data_dir} has no labels of both: one head may have "
            f"those of {LABELS_FOLDER}, others the further ones ({known}); give heads of these "
            f"names{other}"
        )
    return [head if head in further else "" for head in heads]


def _where(dataset, space):
    if dataset in PREPARED:
        return f" in its label space {space}" if space else ""
    return f" in {Path(classes_file(space))}"
