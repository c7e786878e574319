"""Small files of networks and trainings: seeds of the campaign."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from caffe_writer import CaffeNetwork
from fuzz_files import tarred, written
from fuzz_readers import small_training
from port_writer import write_port
from tflite_writer import CONV_2D, TfliteFile
from tiny_model import random_model
from tiny_packed import CRF, build_tiny, pack_tiny
from torch_writer import TensorOf, state_dict, write_torch

from deeplab_tf.models import packed
from deeplab_tf.training.checkpoints import Checkpoints


def caffemodels():
    def write(folder, old):
        net, x = CaffeNetwork(old), np.ones((3, 9, 9))
        net.pool("pool", net.conv("conv", x, 4, 3, pad=1, rate=2), 3, 2, 1)
        if not old:  # DeepLab v1's Caffe has no normalization
            net.scale("scale", net.batch_norm("bn", x))
        net.write(folder / "net.caffemodel")

    return [written(write, old) for old in (False, True)]


VARIABLES = {
    "MobilenetV2/Conv/weights": np.ones((3, 3, 3, 4), np.float32),
    "MobilenetV2/Conv/BatchNorm/gamma": np.ones(4, np.float32),
    "logits/semantic/biases": np.arange(5, dtype=np.float32),
}


def checkpoints():
    def write(folder):
        names = {name: tf.Variable(value) for name, value in VARIABLES.items()}
        tf.train.Checkpoint(**{name.replace("/", "_"): x for name, x in names.items()}).write(
            str(folder / "model.ckpt")
        )

    return [written(write)]


def graphs():
    graph = tf.compat.v1.GraphDef()
    for name, value in VARIABLES.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return [{"graph.pb": graph.SerializeToString(deterministic=True)}]


def tars():
    checkpoint = {f"net/{name}": contents for name, contents in checkpoints()[0].items()}
    graph = {f"net/{name}": contents for name, contents in graphs()[0].items()}
    return [{"model.tar": tarred(members)} for members in (checkpoint, graph)]


def trainings():
    def write(folder):
        checkpoints = Checkpoints(folder / "checkpoints", *small_training())
        for step in (1, 2):
            checkpoints.state.step = step
            checkpoints.save()

    return [written(write)]


def models(suffix):
    def write(folder):
        keras.backend.clear_session()  # so that layers get the same names at any time
        random_model(2).save(folder / f"model.{suffix}")

    return [written(write)]


def ports():
    return [written(lambda folder: write_port(folder / "port.h5", VARIABLES))]


def packed_networks():
    keras.backend.clear_session()
    with mock.patch.dict(packed.BUILDERS, tiny=build_tiny):
        return [written(lambda folder: pack_tiny(folder / "net.npz", crf=CRF))]


def torch_files():
    arrays = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2, np.float16)}
    content = state_dict(arrays) | {"p": TensorOf(np.arange(4.0, dtype=np.float32), (2, 2), (2, 1))}
    return [
        written(lambda folder, *which: write_torch(folder / "net.pth", *which), what, old)
        for old in (False, True)
        for what in (content, {"state_dict": content, "epoch": 3})
    ]


def tflites():
    found = []
    for scale, zero in ((None, None), ([0.5, 0.25, 1, 2], [0, 1, 2, 3])):
        file = TfliteFile()
        image, result = file.tensor("image"), file.tensor("result")
        kernel = np.ones((4, 3, 3, 3), "float32" if scale is None else "uint8")
        weights = file.tensor("conv/weights", kernel, scale, zero)
        bias = file.tensor("conv/bias", np.arange(4, dtype="int32"), scale, zero)
        file.operator(CONV_2D, [image, weights, bias], result)
        found.append({"net.tflite": file.contents()})
    return found
