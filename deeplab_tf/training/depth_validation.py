"""Scoring and drawing validation images during the training of a network for depth."""

import contextlib

from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.evaluation.depth import predict_depths
from deeplab_tf.evaluation.depth_errors import TITLES, DepthErrors
from deeplab_tf.evaluation.depth_pictures import depth_panel
from deeplab_tf.training.validation import Validated


class DepthValidation:
    """Scores a network for depth on full-size images of a split, and draws a few of them.

    Args:
      examples: list of `DepthTarget`.
      max_images: how many are scored, spread evenly over the list; None: all.
      num_pictures: how many of those are drawn; at least 1.

    Example:
      >>> DepthValidation(examples, max_images=100).score(model).score
      0.8765
    """

    def __init__(self, examples, max_images=None, num_pictures=3):
        self._examples = evenly_spaced(examples, max_images)
        self._drawn = evenly_spaced(range(len(self._examples)), num_pictures)

    def score(self, model):
        """Predict the depth of all images, and compare it with the truth.

        Args:
          model: Keras model that predicts depth.

        Returns:
          `Validated`: the share of the pixels within a factor of 1.25, 0 to 1; pictures of image,
          truth and prediction; as curves, all errors, "depth/NAME".
        """
        errors, pictures = DepthErrors(), []
        with contextlib.closing(predict_depths(model, self._examples)) as predicted:
            for index, found in enumerate(predicted):
                errors.add(found.truth, found.depth)
                if index in self._drawn:
                    pictures.append(depth_panel([(found.image, found.truth, found.depth)]))
        curves = {f"depth/{name}": getattr(errors, name) for name in TITLES if errors.pixels}
        return Validated(errors.delta1, pictures, curves)
