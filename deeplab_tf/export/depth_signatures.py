"""The functions that the SavedModel of a network for depth offers to servers."""

import tensorflow as tf

from deeplab_tf.data.depth import MILLIMETERS
from deeplab_tf.data.served_files import check_files, decode_files
from deeplab_tf.export.graph import predict_depth_maps
from deeplab_tf.export.served_checks import check_levels, check_sizes
from deeplab_tf.export.served_size import enlarge_probabilities, shrink_images
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.resize import find_output_stride

FILES = tf.TensorSpec([None], tf.string, "image_bytes")


def build_depth_signatures(model, settings, image_size=None, max_pixels=None, max_side=None):
    """Signatures that give `depth`, float32 (B, H, W), meters.

        serving_default   images: float32 (B, H, W, C), values 0..255
        uint8             images: uint8 (B, H, W, C)
        encoded           image_bytes: strings (B,), the contents of JPEG or PNG files of one size
        encoded_png       as encoded, but of any sizes, and gives `png_bytes`: strings (B,), the
                          contents of 16-bit PNG files in millimeters, 1 to 65,535

    The arguments are those of `build_signatures`; with `image_size`, only the first two are there.

    Returns:
      Dict from names to functions with input signatures, for `tf.saved_model.save`.
    """
    network = model if image_size else fuse(model, portable=True)
    stride, channels = find_output_stride(model), model.input_shape[-1]
    shape = [*([1, *image_size] if image_size else [None] * 3), channels]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "images")])
    def predict(images):  # one graph for all signatures
        seen = shrink_images(images, max_side)
        depth = predict_depth_maps(network, seen, stride, settings)
        if max_side is None:
            return depth
        # Reduced, things look farther away by the factor of the reduction.
        longest = [tf.cast(tf.reduce_max(tf.shape(x)[1:3]), tf.float32) for x in (seen, images)]
        depth = enlarge_probabilities(depth[..., None], images, max_side)[..., 0]
        return depth * longest[0] / longest[1]

    def checked(images):
        return images if image_size else check_sizes(images, max_pixels)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "images")])
    def serve_float(images):
        images = checked(images)
        return {"depth": predict(images if image_size else check_levels(images))}

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, "images")])
    def serve_uint8(images):
        return {"depth": predict(tf.cast(checked(images), tf.float32))}

    found = {"serving_default": serve_float, "uint8": serve_uint8}
    if image_size or channels != 3:
        return found
    return found | _file_signatures(predict, max_pixels)


def _file_signatures(predict, max_pixels):
    """The signatures that take the contents of image files."""

    @tf.function(input_signature=[FILES, tf.TensorSpec([], tf.int32)])
    def decoded(image_bytes, first):
        return tf.cast(decode_files(image_bytes, max_pixels, first), tf.float32)

    @tf.function(input_signature=[FILES])
    def serve_encoded(image_bytes):
        return {"depth": predict(decoded(image_bytes, 0))}

    # AutoGraph would surround one-line error messages with its own stack trace.
    @tf.function(input_signature=[FILES])
    @tf.autograph.experimental.do_not_convert
    def encoded_png(image_bytes):
        image_bytes = check_files(image_bytes)

        @tf.autograph.experimental.do_not_convert
        def one(index):
            depth = predict(decoded(image_bytes[index][None], index))[0]
            levels = tf.clip_by_value(tf.round(MILLIMETERS * depth), 1, 65535)
            return tf.io.encode_png(tf.cast(levels, tf.uint16)[..., None])

        indices = tf.range(tf.size(image_bytes))
        strings = tf.TensorSpec([], tf.string)
        # The name's ending tells servers that the strings are no text.
        png_bytes = tf.map_fn(one, indices, fn_output_signature=strings, parallel_iterations=1)
        return {"png_bytes": png_bytes}

    return {"encoded": serve_encoded, "encoded_png": encoded_png}
