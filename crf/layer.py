"""The fully connected CRF as a Keras layer, which can learn its weights and its compatibility."""

from dataclasses import asdict, replace

import keras
import numpy as np

from crf.dense import dense_crf, resolve_engine
from crf.params import CRFParams


@keras.saving.register_keras_serializable(package="crf")
class DenseCRF(keras.layers.Layer):
    """Layer that refines `[probabilities, images]` as `crf.dense_crf` does.

    Inputs are (B, H, W, C) floating probabilities and (B, H, W, 3) uint8 RGB images of any
    size; the output is (B, H, W, C) float32. It computes in float32 under every dtype policy.

    A trainable layer starts from the params and has three variables: the kernels' weights `w1`
    and `w2`, which stay at 0 or above, and the `compatibility` (C, C). The sigmas stay as they
    are. Each iteration is unrolled by the gradient, so that fewer of them train faster; take
    more again for evaluation with `learned_params`.

    Args:
      params: `CRFParams`; None takes its defaults.
      engine: as for `crf.dense_crf`; "auto" takes the lattice where the layer is trainable.
      trainable: whether the layer learns. One made with False has no variables, and setting
        its `trainable` later does not give it any; one made with True can be frozen so.

    Raises:
      ValueError: for an unknown engine, inputs that `crf.dense_crf` refuses, or, when a
        trainable layer is built, an unknown number of labels or a compatibility for another.

    Example:
      >>> image = keras.Input((None, None, 3), dtype="uint8")
      >>> probabilities = keras.Input((None, None, 21))
      >>> crf = DenseCRF(CRFParams(sigma_beta=5, iterations=5), trainable=True)
      >>> model = keras.Model([probabilities, image], crf([probabilities, image]))
      >>> # ... compile and fit the model ...
      >>> crf.learned_params(iterations=10).save("crf.json")
    """

    def __init__(self, params=None, engine="auto", trainable=False, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(trainable=trainable, **kwargs)
        # Keras compiles models with XLA on its own on a GPU, and products of sparse matrices
        # have no XLA kernel.
        self.supports_jit = False
        resolve_engine(engine)
        self.params = CRFParams() if params is None else params
        self.engine = engine
        # `trainable` may change later: what was made with variables keeps them when frozen.
        self._learns = bool(trainable)

    def build(self, input_shape):
        """Create the variables of a trainable layer from the shapes of the two inputs."""
        if not self._learns:
            return
        self.w1 = self._weight("w1", self.params.w1)
        self.w2 = self._weight("w2", self.params.w2)
        compatibility = self._first_compatibility(input_shape[0][-1])
        self.compatibility = self.add_weight(
            name="compatibility",
            shape=compatibility.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(compatibility, dtype),
        )

    def _weight(self, name, value):
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            constraint=keras.constraints.NonNeg(),
        )

    def _first_compatibility(self, num_labels):
        if num_labels is None:
            raise ValueError(
                "DenseCRF: a trainable layer must know the number of labels: give its first input "
                "a static last dimension"
            )
        if self.params.compatibility is None:
            return 1 - np.eye(num_labels)
        compatibility = np.array(self.params.compatibility)
        if len(compatibility) != num_labels:
            raise ValueError(
                f"DenseCRF: the params' compatibility is for {len(compatibility)} labels, but "
                f"there are {num_labels}"
            )
        return compatibility

    def call(self, inputs):
        """Refine the pair `[probabilities, images]`."""
        probabilities, images = inputs
        if not self._learns:
            return dense_crf(probabilities, images, self.params, self.engine)
        return dense_crf(
            probabilities,
            images,
            self.params,
            "lattice" if self.engine == "auto" else self.engine,
            weights=(self.w1, self.w2),
            compatibility=self.compatibility,
        )

    def learned_params(self, iterations=None):
        """What the layer computes now, as plain numbers.

        Args:
          iterations: to replace those of the layer's params, which it was trained with.

        Returns:
          `CRFParams`; the layer's own params where it is not trainable.

        Raises:
          ValueError: where a trainable layer is not built yet.
        """
        params = self.params
        if self._learns:
            if not self.built:
                raise ValueError("DenseCRF: the layer has learned nothing, it is not built yet")
            w1, w2, compatibility = (
                keras.ops.convert_to_numpy(variable)
                for variable in (self.w1, self.w2, self.compatibility)
            )
            params = replace(params, w1=w1, w2=w2, compatibility=compatibility)
        return params if iterations is None else replace(params, iterations=iterations)

    def compute_output_shape(self, input_shape):
        """The shape of the probabilities."""
        return tuple(input_shape[0])

    def get_config(self):
        """Config of plain values, for `from_config`."""
        return {
            **super().get_config(),
            "params": asdict(self.params),
            "engine": self.engine,
            "trainable": self._learns,
            "frozen": self._learns and not self.trainable,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        config = {**config, "params": CRFParams(**config["params"])}
        frozen = config.pop("frozen", False)
        layer = cls(**config)
        if frozen:
            layer.trainable = False
        return layer
