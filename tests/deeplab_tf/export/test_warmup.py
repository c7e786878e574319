"""The requests that TensorFlow Serving runs when it loads a SavedModel."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from prediction_logs import prediction_log, published_prediction_log, read_requests

from crf import CRFParams
from deeplab_tf.export.served_crf import crf_inputs
from deeplab_tf.export.warmup import FILE, write_warmup

PARAMS = CRFParams(w1=7, iterations=300)
CRF_SPECS = [tf.TensorSpec(None, value.dtype, name) for name, value in crf_inputs(PARAMS).items()]
IMAGES = tf.TensorSpec([None, None, None, 4], tf.float32, "images")
ONE_SIZE = tf.TensorSpec([1, 30, 50, 3], tf.uint8, "images")
FILES = tf.TensorSpec([None], tf.string, "image_bytes")
SIGNATURES = {
    "serving_default": [IMAGES],
    "one_size": [ONE_SIZE],
    "encoded": [FILES],
    "encoded_png_crf": [FILES, *CRF_SPECS],
}


def requests(folder, make_class=prediction_log, **options):
    """{signature: {input: array}} of the requests that are written."""
    functions = {name: SimpleNamespace(input_signature=specs) for name, specs in SIGNATURES.items()}
    write_warmup(folder, functions, PARAMS, **options)
    return dict(read_requests(folder / FILE, make_class()))


@pytest.mark.parametrize("make_class", [prediction_log, published_prediction_log])
def test_one_request_for_each_signature(tmp_path, make_class):
    found = requests(tmp_path, make_class)
    assert list(found) == list(SIGNATURES)
    (images,) = found["serving_default"].values()
    assert images.dtype == np.float32 and images.shape == (1, 240, 320, 4)
    assert (images == 128).all()
    (images,) = found["one_size"].values()
    assert images.dtype == np.uint8 and images.shape == (1, 30, 50, 3)
    assert tf.io.decode_png(found["encoded"]["image_bytes"][0]).shape == (240, 320, 3)


def test_all_inputs_are_given_because_older_servers_fill_in_none(tmp_path):
    inputs = requests(tmp_path)["encoded_png_crf"]
    assert inputs.keys() == {"image_bytes", *crf_inputs(PARAMS)}
    assert inputs["w1"] == [7] and inputs["iterations"] == [300]


def test_the_images_keep_to_the_limit(tmp_path):
    found = requests(tmp_path, max_pixels=110)
    assert found["serving_default"]["images"].shape == (1, 10, 10, 4)
    assert found["one_size"]["images"].shape == (1, 30, 50, 3)
