"""Settings for every test: quiet TensorFlow, fixed seeds, freed memory, folders of real data."""

import ctypes
import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN's own allocator keeps whatever one test needed to the end of the process: gigabytes.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Test processes side by side would fight for the processors with a thread for each of them.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings
from seeds import seed

# The same examples in every run; on a busy machine any example may take long.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")  # values of ONEDNN_MAX_CPU_ISA

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish():
    """Take what is imported by now, which stays to the end, out of every garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    """Skip what computes in bfloat16 where oneDNN is told to leave out AVX-512.

    TensorFlow asks the processor itself, gives bfloat16 to oneDNN all the same, and aborts.
    """
    limited = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BFLOAT16
    if limited and item.get_closest_marker("bfloat16"):
        pytest.skip("TensorFlow cannot compute in bfloat16 with this ONEDNN_MAX_CPU_ISA")


@pytest.fixture(autouse=True)
def _seed():
    seed(0)


@pytest.fixture
def tf_seed():
    """Seed `tf.random` too, for tests that draw from it."""
    import tensorflow as tf  # here, as the process that only hands out the tests need not load it

    tf.random.set_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _free_memory():
    """Free the networks and graphs of a test module before the next one begins."""
    import keras

    keras.utils.set_random_seed(0)  # whatever the modules before have drawn from `tf.random`
    yield
    keras.backend.clear_session()  # also collects garbage
    # glibc keeps what is freed for later; two test processes would need almost twice the memory.
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def _real_data(name):
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which does not exist")
    return folder


@pytest.fixture(scope="session")
def camvid():
    """Folder of CamVid in VOC layout: 367 training and 101 validation images, 480x360."""
    return _real_data("camvid")


@pytest.fixture(scope="session")
def msrc21():
    """Folder of MSRC-21 in VOC layout: 353 training and 62 validation images, about 320x213."""
    return _real_data("msrc21")


@pytest.fixture(scope="session")
def voc_pairs():
    """Folder of 22 images of PASCAL VOC 2012 with their labels, in VOC layout."""
    return _real_data("voc_pairs")


@pytest.fixture(scope="session")
def weights():
    """Folder of pretrained weights of VGG-16, MobileNetV2 and EfficientNet-Lite0."""
    return _real_data("weights")


@pytest.fixture(scope="session")
def crf_golden():
    """Folder of results of the authors' CRF code on crops of CamVid."""
    return _real_data("crf_golden")
