"""Networks that predict depth: one output channel, the natural logarithm of the depth in meters.

`build_deeplab(predict_depth=True)` and `build_fcn(predict_depth=True)` build them. No network for
classes has one channel, since one class cannot be learned; so the channels tell what a network
predicts.
"""

from deeplab_tf.errors import InputError


def predicts_depth(model):
    """Whether a network predicts depth.

    Args:
      model: Keras model, or what `deeplab_tf.open_model` gives.
    """
    return model.output_shape[-1] == 1


def check_depth(model):
    """Raise `InputError` unless a network predicts depth."""
    if not predicts_depth(model):
        raise InputError("the network predicts classes; give one trained with --objective=depth")


def refuse_depth(model):
    """Raise `InputError` if a network predicts depth where one for classes is needed."""
    if predicts_depth(model):
        raise InputError(
            "the network predicts depth, not classes; give a network for classes, or call "
            "predict_depth"
        )
