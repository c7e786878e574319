"""Reads the requests in a SavedModel with which TensorFlow Serving warms up."""

import functools

import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_STRING, _MESSAGE = 9, 11  # types of fields


def published_prediction_log():
    """The class of the message as TensorFlow Serving's package for clients has it."""
    module = "tensorflow_serving.apis.prediction_log_pb2"
    return pytest.importorskip(module, reason="needs tensorflow-serving-api").PredictionLog


@functools.cache
def prediction_log():
    """The class of the message with only the fields that are used, by their published numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="log", syntax="proto3")
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    messages, tensor = file.message_type, ".tensorflow.TensorProto"
    _define(messages, "ModelSpec", name=(1, None), signature_name=(3, None))
    request = _define(messages, "Request", model_spec=(1, ".log.ModelSpec"))
    inputs = _field(request, "inputs", 2, ".log.Request.Entry")
    inputs.label = inputs.LABEL_REPEATED
    entry = _define(request.nested_type, "Entry", key=(1, None), value=(2, tensor))
    entry.options.map_entry = True
    _define(messages, "PredictLog", request=(1, ".log.Request"))
    _define(messages, "PredictionLog", predict_log=(6, ".log.PredictLog"))
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("log.PredictionLog"))


def _define(messages, message_name, **fields):
    message = messages.add(name=message_name)
    for field, (number, kind) in fields.items():
        _field(message, field, number, kind)
    return message


def _field(message, name, number, kind):
    kinds = {"type": _MESSAGE, "type_name": kind} if kind else {"type": _STRING}
    return message.field.add(name=name, number=number, label=1, **kinds)


def read_requests(path, message):
    """Yield (signature, {input: array}) of every request in a file.

    Args:
      path: the TFRecord file.
      message: class of the messages.
    """
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = message.FromString(record).predict_log.request
        arrays = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        yield request.model_spec.signature_name, arrays
