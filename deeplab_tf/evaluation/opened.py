"""The one interface of networks that are ready to run, whatever kind of file they come from."""

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.models.score_heads import labels_of, slices_of

# The values of the settings of `predict_probabilities` with which a network runs as it is.
_PLAIN = {"scales": (1.0,), "flip": False, "tile": None, "pad_to": None}


class OpenedModel:
    """A network that `deeplab_tf.open_model` opened.

    Attributes:
      path: where it comes from.
      label_set: `LabelSet` of its classes; `HeadLabels` of a network with several score heads;
        None: it predicts depth.
      stride: pixels between two positions of the scores that it interpolates; None in a
        SavedModel of an older version, which does not say.
      channels: of the images that it takes.
      crf: `CRFParams` that came along with it; None: none did.
      has_crf: whether its probabilities are those after a CRF that is part of it; None: not
        known, as the stride.
    """

    def __init__(self, path, label_set, stride, channels=3, crf=None, has_crf=False):
        self.path, self.label_set, self.crf, self.has_crf = path, label_set, crf, has_crf
        self.stride, self.channels = stride, channels

    @property
    def classes(self):
        """The names of the classes, a tuple of str; empty for a network for depth."""
        return () if self.label_set is None else self.label_set.names

    @property
    def heads(self):
        """Its score heads, as `score_heads` gives those of a Keras model."""
        several = isinstance(self.label_set, HeadLabels)
        return slices_of(self.label_set.sizes) if several else {}

    @property
    def source(self):
        """What its probabilities are of, see `deeplab_tf.evaluation.probability_files.SOURCES`."""
        return {None: "export", False: "network", True: "crf"}[self.has_crf]

    @property
    def input_shape(self):
        """As of a Keras model: (None, None, None, channels)."""
        return None, None, None, self.channels

    @property
    def output_shape(self):
        """As of a Keras model: (None, None, None, number of classes); 1 for depth."""
        return None, None, None, len(self.classes) or 1

    def probabilities(self, image, **settings):
        """The probabilities of the classes at every pixel.

        Args:
          image: (H, W, channels) uint8.
          settings: `scales`, `flip`, `tile` and `pad_to` as in `predict_probabilities`. Those of an
            exported network were fixed by its export.

        Returns:
          (H, W, C) float32, summing to one over the classes, of each head by itself.

        Raises:
          InputError: if the image or a setting cannot be used.
        """
        raise NotImplementedError

    def labels(self, image, **settings):
        """The class of every pixel, in less time than `probabilities` where the network can.

        The arguments are those of `probabilities`.

        Returns:
          (H, W) uint8; (H, W, heads) of a network with several score heads.
        """
        return labels_of(self.probabilities(image, **settings), self.heads).numpy()

    def depth(self, image, **settings):
        """The depth of every pixel, (H, W) float32 in meters; arguments as of `probabilities`."""
        raise NotImplementedError

    def scores(self, image, **settings):
        """Log-probabilities (H, W, C) float32: scores up to a constant for each pixel.

        The arguments are those of `probabilities`.
        """
        smallest = np.finfo(np.float32).tiny
        return np.log(np.maximum(self.probabilities(image, **settings), smallest))


class OneHead(OpenedModel):
    """One score head of a network with several.

    Args:
      model: the `OpenedModel`.
      head: name of one of its heads.
    """

    def __init__(self, model, head):
        label_set = model.label_set.of(head)
        shape = model.stride, model.channels
        super().__init__(model.path, label_set, *shape, model.crf, model.has_crf)
        self._model, self._part = model, model.heads[head]
        self._index = list(model.heads).index(head)

    def probabilities(self, image, **settings):
        """See `OpenedModel`."""
        return self._model.probabilities(image, **settings)[..., self._part]

    def labels(self, image, **settings):
        """See `OpenedModel`."""
        return self._model.labels(image, **settings)[..., self._index]


def refuse_settings(path, settings):
    """Raise `InputError` for settings of `predict_probabilities` that an exported network fixed.

    Args:
      path: of the exported network.
      settings: dict of those that are given; the default values are as good as none.
    """
    for name, value in settings.items():
        value = tuple(value) if name == "scales" else value
        if value == _PLAIN[name]:
            continue
        reason = (
            "which scores whole images;"
            if name == "tile"
            else "whose settings were fixed by its export; export it again with this setting, or"
        )
        raise InputError(
            f"{name} has no effect: {path} is an exported network, {reason} give a .keras model"
        )


def refuse_second_crf(model):
    """Raise `InputError` if a CRF would be applied to the result of one inside the model."""
    if isinstance(model, OpenedModel):
        refuse_crf_of(model.path, model.has_crf)


def refuse_crf_of(path, has_crf):
    """Raise `InputError` unless an exported network is known to hold no CRF.

    Args:
      path: of the network.
      has_crf: see `OpenedModel`.
    """
    if has_crf is None:
        raise InputError(
            f"{path} does not say whether it applies the CRF itself, because an older version "
            "exported it; leave the CRF out here, or export it again"
        )
    if has_crf:
        raise InputError(
            f"{path} applies the CRF itself, with the parameters of its export; leave the CRF out "
            "here, or export without it"
        )
