"""A network and the fully connected CRF as one Keras model, to use or to train together."""

import keras
from keras import ops

from crf import DenseCRF
from deeplab_tf.errors import InputError
from deeplab_tf.models.multiscale import resize_aligned
from deeplab_tf.models.resize import pad_with_mean

CRF_LAYER = "crf"  # its variables are crf/w1, crf/w2 and crf/compatibility


def refined(model, params=None, trainable=False, output_stride=8):
    """A segmentation network with the fully connected CRF behind it, at the images' own size.

    The scores are interpolated bilinearly with aligned corners to one for every pixel, as
    `deeplab_tf.segment` does, and the CRF's mean field iterations are unrolled behind their
    softmax: one network that is trained as a whole. What is computed after the scores is
    float32 under every dtype policy. `refined_parts` gives back network and CRF.

    Args:
      model: Keras model from RGB images `(B, H, W, 3)`, values 0..255, of any size to scores
        `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, C)`. It is shared, not copied; with
        `model.trainable = False` the CRF alone learns.
      params: `crf.CRFParams`; where the CRF is trained, w1, w2 and the compatibility start from
        them. None takes their defaults.
      trainable: whether w1, w2 and the compatibility are learned.
      output_stride: pixels per score cell of `model`.

    Returns:
      keras.Model from images `(B, H, W, 3)` to float32 probabilities `(B, H, W, C)`.

    Raises:
      InputError: where `model` is no such network.
      ValueError: where the CRF refuses its parameters.

    Example:
      >>> model = refined(build_deeplab("vgg16", "large_fov"), CRFParams(iterations=5), True)
      >>> model.compile("adam", loss=ProbabilityLoss())
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void
      >>> network, crf = refined_parts(model)
    """
    _check_network(model, output_stride)
    images = keras.Input((None, None, 3), name="images")
    scores = model(PadToCells(output_stride, name="pad_to_cells")(images))
    fine = UpsampleScores(output_stride, name="upsample_scores")([scores, images])
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(fine)
    crf = DenseCRF(params, trainable=trainable, name=CRF_LAYER)
    result = crf([probabilities, ImageLevels(name="image_levels")(images)])
    return keras.Model(images, result, name=f"{model.name}_refined")


def refined_parts(model):
    """The network and the `crf.DenseCRF` layer of a model that `refined` made.

    Args:
      model: what `refined` returned, or what was loaded after saving it.

    Returns:
      (keras.Model from images to scores, `crf.DenseCRF`).
    """
    (network,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return network, model.get_layer(CRF_LAYER)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToCells(keras.layers.Layer):
    """Pads images with the mean colour, at the bottom and right, to a size k s + 1.

    The first and last cells of the score map are then centred on the first and last pixels.

    Args:
      output_stride: s, pixels per score cell.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.output_stride = output_stride

    def call(self, images):
        """Pad `(B, H, W, 3)`."""
        missing = [-(length - 1) % self.output_stride for length in ops.shape(images)[1:3]]
        return pad_with_mean(images, *missing)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class UpsampleScores(keras.layers.Layer):
    """Scores of every pixel, from `[scores, images]` with the images before their padding.

    Args:
      output_stride: pixels per score cell.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.output_stride = output_stride

    def call(self, inputs):
        """Interpolate `(B, h, w, C)` to the height and width of `(B, H, W, 3)`."""
        scores, images = inputs
        rows, columns = ((cells - 1) * self.output_stride + 1 for cells in ops.shape(scores)[1:3])
        height, width = ops.shape(images)[1:3]
        return resize_aligned(scores, rows, columns)[:, :height, :width]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ImageLevels(keras.layers.Layer):
    """Images as the CRF takes them: the nearest 8-bit levels, uint8."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, images):
        """Round `(B, H, W, 3)`; what lies outside 0..255 goes to the nearer end."""
        return ops.cast(ops.clip(ops.round(images), 0, 255), "uint8")


def _check_network(model, output_stride):
    cells = 9
    length = (cells - 1) * output_stride + 1
    found = tuple(model.input_shape), None
    if found[0][1:] == (None, None, 3):
        found = found[0], tuple(model.compute_output_shape((1, length, length, 3)))
    if found[1] is None or found[1][:-1] != (1, cells, cells):
        raise InputError(
            f"model {model.name!r} takes {found[0]} and gives {found[1]} for {length}x{length} "
            f"pixels; the CRF needs a network of images of any size with output stride "
            f"{output_stride}"
        )
