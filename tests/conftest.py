"""Settings that hold for every test: quiet TensorFlow, one seed, where the real data lies."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def _real_data(name):
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


@pytest.fixture(scope="session")
def camvid():
    """Folder of the CamVid data set in VOC layout; skips where it is absent."""
    return _real_data("camvid")


@pytest.fixture(scope="session")
def crf_golden():
    """Folder of the reference CRF results; skips where it is absent."""
    return _real_data("crf_golden")
