"""The fully connected CRF as a Keras layer."""

from dataclasses import asdict

import keras

from crf.dense import dense_crf, resolve_engine
from crf.params import CRFParams


@keras.saving.register_keras_serializable(package="crf")
class DenseCRF(keras.layers.Layer):
    """Layer that refines `[probabilities, images]` as `crf.dense_crf` does.

    Inputs are (B, H, W, C) floating probabilities and (B, H, W, 3) uint8 RGB images of any
    size; the output is (B, H, W, C) float32. The layer has no weights. It computes in float32
    under every dtype policy.

    Args:
      params: `CRFParams`; None takes its defaults.
      engine: as for `crf.dense_crf`.

    Raises:
      ValueError: for an unknown engine, or inputs that `crf.dense_crf` refuses.

    Example:
      >>> image = keras.Input((None, None, 3), dtype="uint8")
      >>> probabilities = keras.Input((None, None, 21))
      >>> refined = DenseCRF(CRFParams(w1=4, sigma_beta=5))([probabilities, image])
    """

    def __init__(self, params=None, engine="auto", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        resolve_engine(engine)
        self.params = CRFParams() if params is None else params
        self.engine = engine

    def call(self, inputs):
        """Refine the pair `[probabilities, images]`."""
        probabilities, images = inputs
        return dense_crf(probabilities, images, self.params, self.engine)

    def compute_output_shape(self, input_shape):
        """The shape of the probabilities."""
        return tuple(input_shape[0])

    def get_config(self):
        """Config of plain values, for `from_config`."""
        return {**super().get_config(), "params": asdict(self.params), "engine": self.engine}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        return cls(**{**config, "params": CRFParams(**config["params"])})
