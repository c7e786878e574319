import gc

import numpy as np
import tensorflow as tf

from deeplab_tf.data.buffers import ALIGNMENT, Buffers


def place(array):
    return array.__array_interface__["data"][0]


def test_arrays_have_the_form_and_are_aligned():
    buffers = Buffers((3, 5), np.float32)
    arrays = [buffers.take() for _ in range(3)]
    for value, array in enumerate(arrays):
        array[...] = value
        assert array.shape == (3, 5) and array.dtype == np.float32
        assert place(array) % ALIGNMENT == 0
    assert [array.mean() for array in arrays] == [0, 1, 2]  # none shares its memory


def test_memory_comes_back_when_the_last_view_is_gone():
    buffers = Buffers((4, 4), np.uint8)
    array = buffers.take()
    where, view = place(array), array[1:, ::-1].T[2:]
    del array
    gc.collect()
    other = buffers.take()
    assert place(other) != where
    del view
    assert place(buffers.take()) == where


def test_tensors_keep_their_values_while_memory_goes_round():
    buffers = Buffers((64, 64), np.float32)

    def generate():
        for number in range(20):
            array = buffers.take()
            array[...] = number
            yield array

    signature = tf.TensorSpec((64, 64), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    kept = list(dataset)
    for number, tensor in enumerate(kept):
        np.testing.assert_array_equal(tensor, np.full((64, 64), number))
