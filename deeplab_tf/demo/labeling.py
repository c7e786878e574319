"""From a photograph and CRF parameters to probabilities, with what was computed before kept."""

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from crf import CRFParams, single_image
from crf.search import SearchGrid
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import (
    apply_crf,
    check_image,
    fix_weights,
    most_probable,
    predict_probabilities,
)
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.labels import LabelSet

NUMBERS = (*SearchGrid.names(), "iterations")
"""Names of the parameters of the CRF that the page can change."""

# More would only keep the next visitor waiting, unless the network comes with more.
MAX_ITERATIONS = 50

# A class that no pixel has with this probability exchanges no messages in the CRF. On photographs
# that saves half the time, and changes hardly a label.
PRUNE_BELOW = 0.05

# Probabilities of photographs that are kept, in bytes; at least the last ones are.
MAX_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Network:
    """A trained network that the page offers.

    Args:
      name: what --model takes.
      model: keras.Model for RGB images, or what `deeplab_tf.open_model` gives.
      label_set: `LabelSet` of its classes.
      params: `CRFParams` that suit it, the first values of the page's sliders.
      settings: of `predict_probabilities`.
      max_side: photographs whose longer side has more pixels are reduced to it.
      arguments: the flags of `deeplab-tf predict` that do the same.
      lacking: what of `params` no flag gives, in words; "" if nothing.
    """

    name: str
    model: keras.Model | OpenedModel
    label_set: LabelSet
    params: CRFParams
    settings: dict = field(default_factory=dict)
    max_side: int | None = None
    arguments: tuple[str, ...] = ()
    lacking: str = ""

    @functools.cached_property
    def fixed(self):
        """The model with its weights prepared for many photographs, see `fix_weights`."""
        return fix_weights(self.model)


@dataclass(frozen=True)
class Scored:
    """A photograph and what the network says about it.

    Args:
      image: (h, w, 3) uint8, reduced to the network's `max_side`.
      size: (H, W) of the photograph itself.
      probabilities: (h, w, C) float32.
    """

    image: np.ndarray
    size: tuple[int, int]
    probabilities: np.ndarray


@dataclass(frozen=True)
class Refined:
    """A photograph before and after the CRF.

    Args:
      scored: `Scored`.
      network: `Network`.
      params: `CRFParams`.
      probabilities: (h, w, C) float32, the beliefs after the CRF's iterations.
      seconds: that the CRF took.
    """

    scored: Scored
    network: Network
    params: CRFParams
    probabilities: np.ndarray
    seconds: float


def chosen_params(network, values):
    """The `CRFParams` of the page's sliders.

    Args:
      network: `Network`, whose other parameters stay.
      values: the numbers of `NUMBERS`, as a browser sent them.

    Raises:
      InputError: if one is out of range.
    """
    try:
        params = replace(network.params, **dict(zip(NUMBERS, values, strict=True)))
    except ValueError as error:
        raise InputError(str(error).removeprefix("CRFParams: ")) from None
    most = max(MAX_ITERATIONS, network.params.iterations)
    if params.iterations > most:
        raise InputError(f"iterations must be at most {most} here")
    return params


class Labeler:
    """Labels photographs, one at a time.

    Args:
      openers: dict from the name of each network to a function that opens it as `Network`.
      read: function from the name of a photograph to (H, W, 3) uint8; it may raise `InputError`.
    """

    def __init__(self, openers: dict[str, Callable], read):
        self._openers, self._read = openers, read
        self._networks, self._kept, self._last = {}, OrderedDict(), (None, None)
        self._lock = threading.RLock()

    def warm_up(self):
        """Compile what the first visitor would wait for: the first network, and the CRF."""
        network = self.network(self.names[0])
        predict_probabilities(network.fixed, np.zeros((65, 65, 3), np.uint8))
        single_image.warm_up()

    @property
    def names(self):
        """The names of the networks."""
        return tuple(self._openers)

    def network(self, name):
        """The `Network` of a name; `InputError` if there is none."""
        if not isinstance(name, str) or name not in self._openers:
            raise InputError(f"no network {name!r}; available: {', '.join(self._openers)}")
        with self._lock:
            if name not in self._networks:
                self._networks[name] = self._openers[name]()
            return self._networks[name]

    def refined(self, photograph, network_name, params):
        """A photograph before and after the CRF.

        Args:
          photograph: its name.
          network_name: one of `names`.
          params: `CRFParams`.

        Returns:
          `Refined`.

        Raises:
          InputError: if the photograph cannot be read, or the parameters suit no image.
        """
        key = photograph, network_name, params
        with self._lock:
            if self._last[0] != key:
                network = self.network(network_name)
                scored = self._scored(photograph, network)
                self._last = key, _refine(scored, network, params)
            return self._last[1]

    def full_size(self, photograph, network_name, params):
        """The photograph and its labels at full size, as `deeplab-tf predict` computes them.

        Args:
          photograph, network_name, params: see `refined`.

        Returns:
          (H, W, 3) uint8 and (H, W) uint8.

        Raises:
          InputError: as `refined`.
        """
        with self._lock:
            scored = self._scored(photograph, self.network(network_name))
            refined = apply_crf(scored.probabilities, scored.image, params)
            return self._read(photograph), most_probable(refined, scored.size)

    def _scored(self, photograph, network):
        key = photograph, network.name
        if key not in self._kept:
            image = self._read(photograph)
            check_image(image, network.model.input_shape[-1])
            small = shrink(image, network.max_side)
            probabilities = predict_probabilities(network.fixed, small, **network.settings)
            self._kept[key] = Scored(small, image.shape[:2], probabilities)
        self._kept.move_to_end(key)
        kept = sum(each.probabilities.nbytes for each in self._kept.values())
        while kept > MAX_KEPT_BYTES and len(self._kept) > 1:
            kept -= self._kept.popitem(last=False)[1].probabilities.nbytes
        return self._kept[key]


def _refine(scored, network, params):
    # Only the Potts model can be pruned.
    prune_below = PRUNE_BELOW if params.compatibility is None else 0
    start = time.perf_counter()
    beliefs = apply_crf(scored.probabilities, scored.image, params, prune_below=prune_below)
    return Refined(scored, network, params, beliefs, time.perf_counter() - start)
