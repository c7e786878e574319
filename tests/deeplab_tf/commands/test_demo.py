import sys

import pytest
from tiny_model import random_model
from tiny_packed import CRF, shipped, tiny_builder
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.commands import demo
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet

assert shipped and tiny_builder


@pytest.fixture
def served(monkeypatch):
    """What the page would be served with."""
    calls = []

    class Server:
        @staticmethod
        def serve(openers, host, port, folder, announce):
            assert folder.is_dir()
            calls.append((openers, host, port))
            announce("http://127.0.0.1:7860")

    monkeypatch.setattr(demo, "import_server", lambda: Server)
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")  # restored afterwards
    return calls


def test_the_networks_of_the_package(shipped, served):
    done = run_tool("demo")
    assert done.status == 0, done.err
    assert "the page is at http://127.0.0.1:7860 (Ctrl-C ends it)" in done.out
    ((openers, host, port),) = served
    assert (list(openers), host, port) == (["squares"], "127.0.0.1", 7860)
    network = openers["squares"]()
    assert network.label_set.names == ("a", "b", "c", "d")
    assert network.params == CRFParams(**CRF) and network.max_side == 500
    assert network.arguments == ("--model=squares", "--max_side=500")


def test_ones_own_network_comes_first(shipped, served, tmp_path):
    random_model().save(tmp_path / "own.keras")
    done = run_tool(
        "demo", "--model=own.keras", "--flip", "--max_side=80", "--port=0", "--crf_w1=9"
    )
    assert done.status == 0, done.err
    openers = served[0][0]
    assert list(openers) == ["own.keras", "squares"]
    own, other = (opener() for opener in openers.values())
    assert own.settings["flip"] is True and own.params == CRFParams(w1=9)
    assert own.arguments == ("--model=own.keras", "--flip", "--max_side=80")
    assert other.params == CRFParams(**CRF) and other.settings["flip"] is False


def test_a_learned_compatibility_is_in_no_flag(shipped, served, tmp_path):
    random_model().save(tmp_path / "own.keras")
    learned = CRFParams(w1=2, compatibility=[[0, 1, 1, 2], *[[1, 0, 1, 1]] * 3])
    learned.save(tmp_path / "learned.json")
    CRFParams(w1=2).save(tmp_path / "potts.json")
    lacking = ["the compatibility of the classes in learned.json", ""]
    for file, expected in zip(("learned.json", "potts.json"), lacking, strict=True):
        done = run_tool("demo", "--model=own.keras", f"--crf_params={file}")
        assert done.status == 0, done.err
        own = served[-1][0]["own.keras"]()
        assert own.params.w1 == 2 and own.lacking == expected


def test_an_exported_network(shipped, served, tmp_path):
    params = CRFParams(w1=7)
    export_saved_model(random_model(), "exported", LabelSet.generic(4), suited_crf=params)
    done = run_tool("demo", "--model=exported", "--max_side=80")
    assert done.status == 0, done.err
    own = served[0][0]["exported"]()
    assert isinstance(own.model, OpenedModel) and own.params == params
    assert own.arguments == ("--model=exported", "--max_side=80")


def test_a_network_that_is_not_for_photographs(shipped, served, tmp_path):
    random_model(channels=6).save(tmp_path / "six.keras")
    assert (
        "--model=six.keras: for images of 6 channels" in run_tool("demo", "--model=six.keras").error
    )
    assert "no model nothing" in run_tool("demo", "--model=nothing").error
    assert served == []


def test_without_gradio(shipped, monkeypatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "deeplab_tf.demo.server", raising=False)
    error = run_tool("demo").error
    assert 'which is not installed: pip install "deeplab-tf[demo]"' in error
