"""The fully connected CRF as a Keras layer that can learn its weights and compatibility."""

from dataclasses import asdict, replace

import keras
import numpy as np

from crf.checks import check_no_pruning
from crf.dense import check_options, dense_crf
from crf.params import CRFParams
from crf.tensor_inference import ENGINES_FOR_XLA


@keras.saving.register_keras_serializable(package="crf")
class DenseCRF(keras.layers.Layer):
    """Layer that refines `[probabilities, images]` as `crf.dense_crf` does.

    Inputs are (B, H, W, C) floating probabilities and (B, H, W, 3) uint8 RGB images of any
    size, so their `keras.Input` needs dtype="uint8"; the output is (B, H, W, C) float32. It
    computes in float32 under every dtype policy.

    A trainable layer starts from the params and has three variables: the kernels' weights `w1`
    and `w2`, which stay at least 0, and the `compatibility` (C, C). The sigmas are fixed. The
    gradient unrolls the iterations, so training is faster with fewer of them; `learned_params`
    gives params with more for evaluation.

    Args:
      params: `CRFParams`; None uses the defaults.
      engine: as for `crf.dense_crf`; for a trainable layer "auto" is the lattice. Only with "xla"
        and "exact" does Keras compile a model with XLA.
      trainable: whether the layer learns. A layer created with False has no variables, even if
        its `trainable` is set to True later; one created with True can be frozen by setting it
        to False.
      prune_below: as for `crf.dense_crf`; 0 for a trainable layer, which learns a compatibility.
      max_memory, overlap: as for `crf.dense_crf`.

    Raises:
      ValueError: for an unknown engine, options that cannot be used, or inputs that
        `crf.dense_crf` refuses; when a trainable layer is built, if the number of labels is unknown
        or differs from the compatibility's.

    Example:
      >>> image = keras.Input((None, None, 3), dtype="uint8")
      >>> probabilities = keras.Input((None, None, 21))
      >>> crf = DenseCRF(CRFParams(sigma_beta=5, iterations=5), trainable=True)
      >>> model = keras.Model([probabilities, image], crf([probabilities, image]))
      >>> # ... compile and fit the model ...
      >>> crf.learned_params(iterations=10).save("crf.json")
    """

    def __init__(
        self,
        params=None,
        engine="auto",
        trainable=False,
        prune_below=0.0,
        max_memory=None,
        overlap=None,
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(trainable=trainable, **kwargs)
        # On a GPU, Keras compiles models with XLA by default, which only some engines support.
        self.supports_jit = engine in ENGINES_FOR_XLA
        self.params = check_options(params, engine, prune_below, max_memory, overlap).params
        if trainable:
            check_no_pruning(prune_below)
        self.engine = engine
        self.prune_below = prune_below
        self.max_memory = max_memory
        self.overlap = overlap
        # `trainable` may change later; a frozen layer keeps its variables.
        self._learns = bool(trainable)

    def build(self, input_shape):
        """Create the variables of a trainable layer from the shapes of the two inputs."""
        if not self._learns:
            return
        self.w1 = self._weight("w1", self.params.w1)
        self.w2 = self._weight("w2", self.params.w2)
        compatibility = self._initial_compatibility(input_shape[0][-1])
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

    def _initial_compatibility(self, num_labels):
        if num_labels is None:
            raise ValueError(
                "DenseCRF: a trainable layer needs a known number of labels; give its first input "
                "a static last dimension"
            )
        if self.params.compatibility is None:
            return 1 - np.eye(num_labels)
        compatibility = np.array(self.params.compatibility)
        if len(compatibility) != num_labels:
            raise ValueError(
                f"DenseCRF: the params' compatibility is for {len(compatibility)} labels, but "
                f"there are {num_labels}; give one row and one column for each label"
            )
        return compatibility

    def call(self, inputs):
        """Refine the pair `[probabilities, images]`."""
        probabilities, images = inputs
        strips = {"max_memory": self.max_memory, "overlap": self.overlap}
        if not self._learns:
            options = {"prune_below": self.prune_below, **strips}
            return dense_crf(probabilities, images, self.params, self.engine, **options)
        # The gradient of the numba engine runs the lattice engine anyway.
        return dense_crf(
            probabilities,
            images,
            self.params,
            "lattice" if self.engine == "auto" else self.engine,
            weights=(self.w1, self.w2),
            compatibility=self.compatibility,
            **strips,
        )

    def learned_params(self, iterations=None):
        """The layer's current parameters as plain numbers.

        Args:
          iterations: number of iterations to set; None keeps the number used in training.

        Returns:
          `CRFParams`; the given ones if the layer does not learn.

        Raises:
          ValueError: if a trainable layer is not built yet.
        """
        params = self.params
        if self._learns:
            if not self.built:
                raise ValueError("DenseCRF: the layer is not built yet; call it once first")
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
        """Config of plain values for `from_config`."""
        return {
            **super().get_config(),
            "params": asdict(self.params),
            "engine": self.engine,
            "trainable": self._learns,
            "prune_below": self.prune_below,
            "max_memory": self.max_memory,
            "overlap": self.overlap,
            "frozen": self._learns and not self.trainable,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that a config from `get_config` describes."""
        config = {**config, "params": CRFParams(**config["params"])}
        frozen = config.pop("frozen", False)
        layer = cls(**config)
        if frozen:
            layer.trainable = False
        return layer
