"""Requests that TensorFlow Serving runs before it offers a model, so that no client waits.

The first request of each signature takes longer, because TensorFlow optimizes its graph then. The
server reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord file of messages
`tensorflow.serving.PredictionLog`. Their few fields are written here, so that the package of the
server's messages is not needed.
"""

import math

import tensorflow as tf

from deeplab_tf.export.served_crf import crf_inputs

FILE = "assets.extra/tf_serving_warmup_requests"

# Numbers of fields in the messages of TensorFlow Serving.
_PREDICT_LOG = 6  # of PredictionLog
_REQUEST = 1  # of PredictLog
_MODEL_SPEC, _INPUTS = 1, 2  # of PredictRequest
_SIGNATURE_NAME = 3  # of ModelSpec
_KEY, _VALUE = 1, 2  # of an entry of a map

# Height and width in pixels of the images, if others are taken, too.
_SIZE = 240, 320
_LEVEL = 128


def write_warmup(folder, signatures, crf=None, max_pixels=None):
    """Write one request for each signature into the folder of a SavedModel.

    Args:
      folder: its path.
      signatures: what `build_signatures` returned.
      crf: `CRFParams` of its CRF; None: no CRF.
      max_pixels: largest number of pixels of an image; None: no limit.
    """
    size = _SIZE
    if max_pixels is not None and math.prod(size) > max_pixels:
        size = math.isqrt(max_pixels), math.isqrt(max_pixels)
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, function in signatures.items():
            example, *parameters = function.input_signature
            inputs = {example.name: _gray_image(example, size)}
            if parameters:
                inputs |= {
                    key: tf.make_tensor_proto(value) for key, value in crf_inputs(crf).items()
                }
            writer.write(_prediction_log(name, inputs))


def _gray_image(spec, size):
    """A `TensorProto` of the images, or the image files, that an input takes."""
    if spec.dtype == tf.string:
        gray = tf.fill([*size, 3], tf.constant(_LEVEL, tf.uint8))
        return tf.make_tensor_proto([tf.io.encode_png(gray).numpy()])
    batch, height, width, channels = spec.shape
    shape = [batch or 1, height or size[0], width or size[1], channels]
    return tf.make_tensor_proto(_LEVEL, spec.dtype, shape)  # one value stands for all


def _prediction_log(signature, inputs):
    """The bytes of a PredictionLog of a request.

    Args:
      signature: name.
      inputs: dict from names to `TensorProto`s.
    """
    request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    for name, tensor in inputs.items():
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor.SerializeToString())
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number, contents):
    """A field of bytes as protocol buffers write it: its number and type, its length, the bytes."""
    return _varint(number << 3 | 2) + _varint(len(contents)) + contents


def _varint(value):
    """A whole number in groups of 7 bits, the lowest first; all but the last have the 8th bit."""
    groups = []
    while value >= 128:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
