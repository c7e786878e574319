"""Networks that compute in 16 bits while their weights and scores stay float32."""

import keras

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def with_precision(model, precision):
    """A copy of a trained network that computes in another precision.

    On hardware with bfloat16 it can take half the time (measure first: on some processors it is
    slower). The scores keep about three significant digits.

    Args:
      model: functional `keras.Model` from images to class scores `(B, h, w, C)`.
      precision: "mixed_bfloat16", "mixed_float16" or "float32".

    Returns:
      keras.Model; maps of C channels, the scores, are float32 in each precision.

    Example:
      >>> labels = segment(with_precision(model, "mixed_bfloat16"), image)
    """
    num_classes = model.output_shape[-1]

    def copy(layer):
        if not isinstance(layer, keras.Layer):  # bare arithmetic, as in MobileNetV3
            return layer
        config = layer.get_config()
        holds_scores = layer.output.shape[-1] == num_classes
        return type(layer).from_config(
            {**config, "dtype": "float32" if holds_scores else precision}
        )

    clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


def build_with_precision(build_model, precision):
    """Build the network to train and the float32 network that is evaluated and saved.

    Variables are float32 in each precision; the precision decides what is computed in 16 bits.
    Two networks are needed because a saved model keeps its dtype policy: one trained in bfloat16
    would also be used in bfloat16.

    Args:
      build_model: function without arguments that builds the Keras model.
      precision: one of `PRECISIONS`; "mixed_float16" needs a `LossScale` in training.

    Returns:
      The model to train and its float32 twin: the same object for "float32".
    """
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float32")
        float32_model = build_model()
        if precision == "float32":
            return float32_model, float32_model
        keras.config.set_dtype_policy(precision)
        return build_model(), float32_model
    finally:
        keras.config.set_dtype_policy(policy)
