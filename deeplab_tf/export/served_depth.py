"""What the SavedModel of a network for depth gives."""

import tensorflow as tf

from deeplab_tf.data.depth import MILLIMETERS
from deeplab_tf.export.graph import predict_depth_maps
from deeplab_tf.export.served import Served
from deeplab_tf.export.served_size import enlarge_probabilities, shrink_images
from deeplab_tf.models.resize import find_output_stride


class ServedDepth(Served):
    """The graphs of a network for depth; its signatures give `depth`, float32 (B, H, W), meters.

        serving_default   images: float32 (B, H, W, C), values 0..255
        uint8             images: uint8 (B, H, W, C)
        encoded           image_bytes: strings (B,), the contents of JPEG or PNG files of one size
        encoded_png       as encoded, but of any sizes, and gives `png_bytes`: strings (B,), the
                          contents of 16-bit PNG files in millimeters, 1 to 65,535

    Of a network for images of one size, only the first two are there.

    Args:
      network, model, image_size: see `Served`.
      settings: see `build_signatures`.
    """

    def __init__(self, network, model, settings, image_size=None):
        super().__init__(model, image_size)
        stride = find_output_stride(model)

        @tf.function(input_signature=[self.images(tf.float32)])
        def depth(images):
            return predict_depth_maps(network, images, stride, settings)

        self._depth = depth

    def results(self, images, crf_values=None):
        """`depth` by its name, see `Served`."""
        return {"depth": self._full_size(images)}

    def _full_size(self, images):
        seen = shrink_images(images, self.max_side)
        depth = self._depth(seen)
        if self.max_side is None:
            return depth
        # Reduced, things look farther away by the factor of the reduction.
        longest = [tf.cast(tf.reduce_max(tf.shape(x)[1:3]), tf.float32) for x in (seen, images)]
        depth = enlarge_probabilities(depth[..., None], images, self.max_side)[..., 0]
        return depth * longest[0] / longest[1]

    def png(self, image, crf_values=None):
        """See `Served`."""
        levels = tf.clip_by_value(tf.round(MILLIMETERS * self._full_size(image)), 1, 65535)
        return tf.io.encode_png(tf.cast(levels, tf.uint16)[0, ..., None])
