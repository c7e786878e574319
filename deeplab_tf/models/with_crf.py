"""A network and the fully connected CRF as one Keras model, to use or to train together."""

import keras
from keras import ops

from crf import DenseCRF
from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import padding_color
from deeplab_tf.models.padding import PadToCells
from deeplab_tf.models.resize import UpsampleScores, find_output_stride
from deeplab_tf.models.score_heads import score_heads

_CRF_LAYER = "crf"  # its variables are crf/w1, crf/w2 and crf/compatibility


def with_crf(model, params=None, trainable=False, **options):
    """A segmentation network followed by the fully connected CRF, at the images' own size.

    The scores are upsampled to one for every pixel, as `deeplab_tf.segment` does, and the CRF's
    mean field iterations are unrolled after their softmax: one network that can be trained as a
    whole. Everything after the scores is computed in float32 under every dtype policy.
    `network_and_crf` gives back the two parts.

    Args:
      model: Keras model from RGB images `(B, H, W, 3)`, values 0..255, of any size to scores
        `(B, (H-1)//s+1, (W-1)//s+1, C)` at an output stride s. It is shared, not copied; with
        `model.trainable = False` only the CRF learns. Of images with more channels, the CRF
        takes the first three as the color.
      params: `crf.CRFParams`; if the CRF is trained, w1, w2 and the compatibility start from
        them. None takes their defaults.
      trainable: whether w1, w2 and the compatibility are learned.
      options: `engine`, `prune_below`, `max_memory` and `overlap` of `crf.DenseCRF`.

    Returns:
      keras.Model from images `(B, H, W, 3)` to float32 probabilities `(B, H, W, C)`.

    Raises:
      InputError: if `model` has other inputs or outputs, or several score heads.
      ValueError: if the CRF refuses its parameters or options.

    Example:
      >>> network = build_deeplab("vgg16", "large_fov")
      >>> model = with_crf(network, CRFParams(iterations=5), trainable=True)
      >>> model.compile("adam", loss=ProbabilityLoss())
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void
      >>> network, crf = network_and_crf(model)
    """
    if score_heads(model):
        heads = ", ".join(score_heads(model))
        raise InputError(f"the CRF refines one head; choose one of {heads} by one_head")
    output_stride = find_output_stride(model)
    images = keras.Input(model.input_shape[1:], name="images")
    color = padding_color(model, images.shape[-1])
    scores = model(PadToCells(output_stride, color, name="pad_to_cells")(images))
    fine = UpsampleScores(output_stride, name="upsample_scores")([scores, images])
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(fine)
    crf = DenseCRF(params, trainable=trainable, name=_CRF_LAYER, **options)
    result = crf([probabilities, ImageLevels(name="image_levels")(images)])
    return keras.Model(images, result, name=f"{model.name}_with_crf")


def network_and_crf(model):
    """The two parts of a model that `with_crf` made.

    Args:
      model: what `with_crf` returned, or what was loaded after saving it.

    Returns:
      (keras.Model from images to scores, `crf.DenseCRF` layer).
    """
    (network,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return network, model.get_layer(_CRF_LAYER)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ImageLevels(keras.layers.Layer):
    """Images as the CRF takes them: their first three channels, the nearest 8-bit levels."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, images):
        """Round `(B, H, W, C)` to `(B, H, W, 3)` uint8; values outside 0..255 are clipped."""
        return ops.cast(ops.clip(ops.round(images[..., :3]), 0, 255), "uint8")
