"""Training in bfloat16 while what is kept stays float32."""

import keras


def build_with_precision(build_model, precision):
    """Build the network to train and the float32 network that is scored and saved.

    Variables are float32 under both policies; the policy decides what is computed in bfloat16.
    A model remembers its policy, so that one trained in bfloat16 would also be used in it.

    Args:
      build_model: function without arguments that builds the Keras model.
      precision: "float32" or "mixed_bfloat16".

    Returns:
      The model to train and its float32 twin: one and the same model under "float32".
    """
    kept = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float32")
        float32_model = build_model()
        if precision == "float32":
            return float32_model, float32_model
        keras.config.set_dtype_policy(precision)
        return build_model(), float32_model
    finally:
        keras.config.set_dtype_policy(kept)
