"""A page with small pictures of many images and their labels."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from deeplab_tf.data.shrink import limited_size, shrink, shrink_label
from deeplab_tf.evaluation.html_report.cards import describe
from deeplab_tf.evaluation.html_report.data_urls import data_url, encode_jpeg
from deeplab_tf.evaluation.html_report.template import render_template
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import overlay, overlay_colors

PAGE_BYTES = 19_000_000  # of a page of up to a few thousand images
SHOWN_AREAS = 15  # classes that a card lists at most

# (longer side in pixels, quality) of the small pictures, until one is small enough.
_SIZES = ((360, 80), (280, 75), (220, 75), (180, 70), (140, 65), (110, 60), (80, 50), (64, 40))
_MOST_BYTES = 24_000  # of one picture, however few there are
_STYLE_BYTES = 40_000  # of everything but the cards


@dataclass(frozen=True)
class SheetImage:
    """What the page shows of one image.

    Args:
      name: of the image.
      size: (width, height) of its pictures in pixels.
      picture, labels: data URLs of the small image, and of the same tinted with its labels.
      alt: the labels in words.
      areas: dict from a class index to the share of the pixels that have it, the largest first.
      link: relative URL of the image's file.
      links: dict from the kind of a result, such as "labels", to the relative URL of its file.
    """

    name: str
    size: tuple
    picture: str
    labels: str
    alt: str
    areas: dict
    link: str
    links: dict


@dataclass
class ContactSheet:
    """A page that is filled image by image.

    Args:
      path: the file that it will be written to; links are relative to its folder.
      title: of the page.
      command: that made it, as in the shell.
      label_set: `LabelSet` of the classes, shown in `overlay_colors`.
      count: number of images that will be added; the more, the smaller their pictures are.
      alpha: opacity of the classes' colors.
      images: what `add` has added so far.
    """

    path: Path
    title: str
    command: str
    label_set: LabelSet
    count: int
    alpha: float = 0.6
    images: list = field(default_factory=list)

    def add(self, file, image, label, results):
        """Add an image.

        Args:
          file: path of the image.
          image: (H, W, 3) uint8 RGB.
          label: (H, W) uint8 class indices.
          results: dict from the kind of a result, such as "labels", to the path of its file.
        """
        shares = np.bincount(label.ravel(), minlength=256)[: self.label_set.num_classes]
        shares = shares / label.size
        order = [int(index) for index in np.argsort(-shares, kind="stable") if shares[index]]
        links = {kind: self._url(path) for kind, path in results.items()}
        areas = {index: float(shares[index]) for index in order}
        # About twice what the text of a card takes, so that long names find room, too.
        text = 1500 + 4 * sum(map(len, (file.name, self._url(file), *links.values())))
        text += 160 * min(len(areas), SHOWN_AREAS) + 12 * len(areas)
        most = 0.75 * ((PAGE_BYTES - _STYLE_BYTES) / self.count - text) / 2
        colors = overlay_colors(self.label_set)
        pictures = [
            _small_jpeg(lambda side: shrink(image, side), most),
            _small_jpeg(
                lambda side: overlay(
                    shrink(image, side), shrink_label(label, side), colors, self.alpha
                ),
                most,
            ),
        ]
        height, width = limited_size(*label.shape, _SIZES[0][0])
        words = describe(label, self.label_set.names)
        self.images.append(
            SheetImage(file.name, (width, height), *pictures, words, areas, self._url(file), links)
        )

    def render(self, left_out=()):
        """The page, str; it needs no other file and sends no request.

        Args:
          left_out: one line for each image that could not be labeled.
        """
        return render_template(
            "contact_sheet.html.jinja",
            {"share": share},
            sheet=self,
            colors=overlay_colors(self.label_set).tolist(),
            classes=self.classes(),
            shown_areas=SHOWN_AREAS,
            left_out=left_out,
        )

    def classes(self):
        """The classes that occur: list of (index, number of images, mean share of an image)."""
        found = []
        for index in range(self.label_set.num_classes):
            areas = [image.areas[index] for image in self.images if index in image.areas]
            if areas:
                found.append((index, len(areas), sum(areas) / len(self.images)))
        return sorted(found, key=lambda one: -one[2])

    def _url(self, path):
        return quote(os.path.relpath(Path(path).absolute(), self.path.absolute().parent))


def share(value):
    """A share of the pixels as text in per cent.

    Example:
      >>> share(0.4321), share(0.0001)
      ('43.2', '<0.1')
    """
    return f"{100 * value:.1f}" if value >= 0.0005 else "<0.1"


def _small_jpeg(draw, most):
    """The data URL of a picture at the largest size that takes at most so many bytes.

    Args:
      draw: function from the longer side, in pixels, to the picture.
      most: number of bytes; the smallest picture may be larger.
    """
    for side, quality in _SIZES:
        contents = encode_jpeg(draw(side), quality)
        if len(contents) <= min(most, _MOST_BYTES):
            break
    return data_url("image/jpeg", contents)
