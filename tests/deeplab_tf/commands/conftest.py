"""A network with random weights for the classes of a test module's `data_dir`, and its folder."""

import pytest
from tiny_model import random_model

from deeplab_tf.data.voc import read_label_set


@pytest.fixture(scope="module")
def model(data_dir):
    return random_model(read_label_set(data_dir).num_classes)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "best.keras")
    return folder
