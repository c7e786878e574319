"""The functions that a SavedModel offers to servers, by the names that they are called by."""

import tensorflow as tf

from crf import dense_crf
from crf.dense import check_options, with_overlap
from deeplab_tf.evaluation.compiled import upsampled_scores
from deeplab_tf.export.graph import named_results, output_parts
from deeplab_tf.export.served import FILES, Served
from deeplab_tf.export.served_checks import check_levels
from deeplab_tf.export.served_crf import crf_inputs, refine_each, value_specs, with_crf_inputs
from deeplab_tf.export.served_depth import ServedDepth
from deeplab_tf.export.served_size import (
    enlarge_probabilities,
    most_probable_at,
    shrink_images,
)
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.resize import find_output_stride
from deeplab_tf.models.score_heads import probabilities_of, score_heads


def build_signatures(
    model, crf, settings, image_size=None, max_pixels=None, max_side=None, crf_options=None
):
    """The signatures that `export_saved_model` describes.

    Args:
      model: Keras model from images to scores, or to depth.
      crf: `CRFParams` of the CRF that follows; None: no CRF.
      settings: (scales, flip, pad_to).
      image_size: (height, width) in pixels of the only image that each call takes; None: any.
      max_pixels: largest number of pixels of an image; None: no limit.
      max_side: longer side in pixels to which larger images are reduced; None: no limit.
      crf_options: options of `dense_crf`, checked, with the engine.

    Returns:
      Dict from names to functions with input signatures, for `tf.saved_model.save`.
    """
    network = fuse(model, portable=True) if image_size is None else model
    if predicts_depth(model):
        served = ServedDepth(network, model, settings, image_size)
    else:
        served = ServedClasses(network, model, crf, crf_options, settings, image_size)
    if image_size is not None:
        return _fixed_signatures(served)
    served.max_pixels, served.max_side = max_pixels, max_side
    found = _image_signatures(served)
    return found | _file_signatures(served) if served.channels == 3 else found


class ServedClasses(Served):
    """The graphs of a network for classes.

    Args:
      network, model, image_size: see `Served`.
      crf, crf_options, settings: see `build_signatures`.
    """

    def __init__(self, network, model, crf, crf_options, settings, image_size=None):
        super().__init__(model, image_size)
        self.heads, self.crf, stride = score_heads(model), crf, find_output_stride(model)
        self.gives_files = not self.heads  # a PNG file holds the labels of one
        # All signatures share the graph whose parameters are inputs, because the CRF's graph is
        # large. But a graph for the export's own parameters leaves out kernels of weight 0.
        self._is_shared = crf is not None and not image_size and crf.w1 > 0 and crf.w2 > 0

        @tf.function(input_signature=[self.images(tf.float32)])
        def scores(images):
            return upsampled_scores(network, images, stride, *settings)

        def network_probabilities(images):
            return probabilities_of(scores(images), self.heads)

        @tf.function(input_signature=[self.images(tf.float32)])
        def probabilities(images):
            found = network_probabilities(images)
            return found if crf is None else dense_crf(found, _levels(images), crf, **crf_options)

        def tuned_probabilities(images, *values):
            options = with_overlap(check_options(crf, **crf_options), weights_given=True)
            return refine_each(network_probabilities(images), _levels(images), values, options)

        self._scores, self._probabilities = scores, probabilities
        self._tuned = crf and tf.function(
            tuned_probabilities, input_signature=[self.images(tf.float32), *value_specs(crf)]
        )

    def results(self, images, crf_values=None):
        """Labels and probabilities of float32 images, as `named_results`.

        Args:
          images: (B, H, W, channels) float32.
          crf_values: tensors of `with_crf_inputs`; None: the values of the export.
        """
        probabilities = enlarge_probabilities(
            self._reduced(images, crf_values), images, self.max_side
        )
        return named_results(probabilities, self.heads)

    def labels(self, images, crf_values=None):
        """The labels alone, by their names; the arguments are those of `results`."""
        if self.crf is None and self.max_side is None:
            found = self._scores(images)  # softmax would take longer than all that follows
        else:
            found = self._reduced(images, crf_values)
        if not self.heads:
            return {"labels": most_probable_at(found, images, self.max_side)}
        return {
            f"{prefix}labels": most_probable_at(found[..., part], images, self.max_side)
            for prefix, part in output_parts(self.heads)
        }

    def _reduced(self, images, crf_values):
        # Probabilities at the size at which the network sees the images.
        seen = shrink_images(images, self.max_side)
        if crf_values is None and self._is_shared:
            count = tf.shape(seen)[:1]
            crf_values = [tf.broadcast_to(one, count) for one in crf_inputs(self.crf).values()]
        return self._tuned(seen, *crf_values) if crf_values else self._probabilities(seen)

    def png(self, image, crf_values=None):
        """See `Served`; arguments as of `results`, of one image."""
        return tf.io.encode_png(self.labels(image, crf_values)["labels"][0, ..., None])


def _fixed_signatures(network):
    """Those that converters take, which know neither strings nor assertions."""

    @tf.function(input_signature=[network.images(tf.float32)])
    def serve_float(images):
        return network.results(images)

    @tf.function(input_signature=[network.images(tf.uint8)])
    def serve_uint8(images):
        return network.results(tf.cast(images, tf.float32))

    return {"serving_default": serve_float, "uint8": serve_uint8}


def _image_signatures(network):
    """Those that take arrays of images."""

    @tf.function(input_signature=[network.images(tf.float32)])
    def serve_float(images):
        return network.results(check_levels(network.checked(images)))

    @tf.function(input_signature=[network.images(tf.uint8)])
    def serve_uint8(images):
        return network.results(network.checked(images))

    found = {"serving_default": serve_float, "uint8": serve_uint8}
    if isinstance(network, ServedDepth):
        return found

    @tf.function(input_signature=[network.images(tf.uint8)])
    def labels_only(images):
        return network.labels(network.checked(images))

    found["labels_only"] = labels_only
    if network.crf is None:
        return found

    def serve_crf(images, crf_values):
        return network.results(network.checked(images), crf_values)

    return {**found, "uint8_crf": with_crf_inputs(serve_crf, network.images(tf.uint8), network.crf)}


def _file_signatures(network):
    """Those that take the contents of image files."""

    @tf.function(input_signature=[FILES])
    def serve_encoded(image_bytes):
        return network.results(tf.cast(network.decode(image_bytes, 0), tf.float32))

    @tf.function(input_signature=[FILES])
    def encoded_png(image_bytes):
        # The name's ending tells servers that the strings are no text.
        return {"png_bytes": network.png_files(image_bytes)}

    if not network.gives_files:
        return {"encoded": serve_encoded}
    found = {"encoded": serve_encoded, "encoded_png": encoded_png}
    if network.crf is None:
        return found

    def serve_crf(image_bytes, crf_values):
        return {"png_bytes": network.png_files(image_bytes, crf_values)}

    return {**found, "encoded_png_crf": with_crf_inputs(serve_crf, FILES, network.crf)}


def _levels(images):
    """The first three channels as the CRF takes them, the nearest 8-bit levels."""
    return tf.saturate_cast(tf.round(images[..., :3]), tf.uint8)
