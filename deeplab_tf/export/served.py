"""What the signatures of every SavedModel have in common: its images, and the files of images."""

import tensorflow as tf

from deeplab_tf.data.served_files import check_files, decode_files
from deeplab_tf.export.served_checks import check_sizes

FILES = tf.TensorSpec([None], tf.string, "image_bytes")


class Served:
    """The graphs of a network that all signatures call, so that each part is in the file only once.

    Subclasses take the network itself, `network`, which may be a fused one.

    Args:
      model: Keras model that the network was made from.
      image_size: (height, width) in pixels of the only image that each call takes; None: any.

    Attributes:
      channels: of the images.
      crf: `CRFParams` of the CRF that follows; None: no CRF.
      gives_files: whether the result of an image can be a PNG file.
      max_pixels, max_side: see `build_signatures`.
    """

    crf = max_pixels = max_side = None
    gives_files = True

    def __init__(self, model, image_size=None):
        self.channels = model.input_shape[-1]
        self._shape = [1, *image_size] if image_size else [None, None, None]

        @tf.function(input_signature=[FILES, tf.TensorSpec([], tf.int32)])
        def decode(image_bytes, first):
            return decode_files(image_bytes, self.max_pixels, first)

        self.decode = decode

    def images(self, dtype):
        """`tf.TensorSpec` of the images."""
        return tf.TensorSpec([*self._shape, self.channels], dtype, "images")

    def checked(self, images):
        """The images as float32, after assertions on their sizes."""
        return tf.cast(check_sizes(images, self.max_pixels), tf.float32)

    def results(self, images, crf_values=None):
        """What a call gives, by names, of float32 images (B, H, W, channels).

        Args:
          images: the images.
          crf_values: tensors of `with_crf_inputs`; None: the values of the export.
        """
        raise NotImplementedError

    def png(self, image, crf_values=None):
        """The contents of the PNG file of one image, (1, H, W, channels) float32."""
        raise NotImplementedError

    def png_files(self, image_bytes, crf_values=None):
        """The results of image files (B,), which may have different sizes, as PNG files (B,)."""

        # AutoGraph would surround one-line error messages with its own stack trace.
        @tf.autograph.experimental.do_not_convert
        def png_of(index):
            image = self.decode(image_bytes[index][None], index)
            one = crf_values and [values[index][None] for values in crf_values]
            return self.png(tf.cast(image, tf.float32), one)

        image_bytes = check_files(image_bytes)
        indices = tf.range(tf.size(image_bytes))
        strings = tf.TensorSpec([], tf.string)
        return tf.map_fn(png_of, indices, fn_output_signature=strings, parallel_iterations=1)
