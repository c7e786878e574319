"""Released networks: downloaded once, checked, converted, and used by their names."""

import hashlib
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import slim_network
import tensorflow as tf
from absl.flags import FlagValues
from file_server import server
from slim_network import SlimNetwork, write_checkpoint, write_tar
from tiny_model import blocks, random_model
from tool_runner import run_tool

import deeplab_tf
from crf import CRFParams
from deeplab_tf.commands import predict
from deeplab_tf.commands.flags.crf import params_along
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.recall import known_setting, recall_for_model
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import find_model, load_model, suited_crf
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.files import is_pretrained
from deeplab_tf.models.heads import find_head
from deeplab_tf.models.released import converted
from deeplab_tf.models.released.imported import Imported
from deeplab_tf.models.released.variables import read_variables
from deeplab_tf.models.weights import read_weights
from deeplab_tf.pretrained import released
from deeplab_tf.pretrained.released import RELEASED, Released, cache_folder

assert server

LABELS = LabelSet.generic(4)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def read_tiny(path, num_classes):
    """In place of the reader: a network of one layer, of the kernel in a tar with a checkpoint."""
    kernel = read_variables(path)["kernel"]
    model = random_model(num_classes)
    model.layers[-1].set_weights([kernel, np.zeros(num_classes, np.float32)])
    return Imported(model, {}, (), ())


@pytest.fixture
def tiny(server, cache, tmp_path, monkeypatch):
    """A released network "tiny" on the server."""
    (tmp_path / "served").mkdir()
    kernel = np.random.default_rng(0).normal(size=(9, 9, 3, 4)).astype(np.float32)
    files = write_checkpoint(tmp_path / "served" / "model.ckpt", {"kernel": kernel})
    write_tar(tmp_path / "served" / "a.tar.gz", {file.name: file for file in files})
    server.data = (tmp_path / "served" / "a.tar.gz").read_bytes()
    network = Released(
        server.url, "mobilenetv2, v3_mobile", "squares", "12.3 on squares", 1e6, LABELS, {}
    )
    network = network._replace(testing={"pad_to": 65}, crf=CRFParams(w1=1.5, iterations=1))
    monkeypatch.setitem(RELEASED, "tiny", network)
    monkeypatch.setattr(converted, "import_tensorflow", read_tiny)
    return kernel


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WHOLE = ["SHA256SUMS", "tiny.tar.gz", "tiny/best.keras", "tiny/labels.json"]


def test_downloaded_once_and_kept(tiny, cache, server):
    for load in (deeplab_tf.load_pretrained, load_model):
        np.testing.assert_array_equal(load("tiny").layers[-1].get_weights()[0], tiny)
    assert server.ranges == [None]
    assert listed(cache) == WHOLE
    digest = hashlib.sha256(server.data).hexdigest()
    assert (cache / "SHA256SUMS").read_text() == f"{digest}  tiny.tar.gz\n"
    assert (cache / "tiny.tar.gz").read_bytes() == server.data
    assert find_model("tiny") == cache / "tiny" / "best.keras"


def error_of(function, *arguments):
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_offline_one_line_says_where_to_put_the_file(tiny, cache, monkeypatch):
    url = "http://127.0.0.1:9/tiny.tar.gz"
    monkeypatch.setitem(RELEASED, "tiny", RELEASED["tiny"]._replace(url=url))
    message = error_of(deeplab_tf.load_pretrained, "tiny")
    assert message.startswith(f"tiny.tar.gz: cannot be downloaded from {url} (")
    assert message.endswith(f"; download it elsewhere and save it as {cache / 'tiny.tar.gz'}")
    assert not cache.exists()


def test_a_file_that_a_person_put_there(tiny, cache, server):
    cache.mkdir()
    (cache / "tiny.tar.gz").write_bytes(server.data)
    load_model("tiny")
    assert server.ranges == [] and listed(cache) == WHOLE


def test_interrupted_and_resumed(tiny, cache, server):
    server.manner = "cut"
    assert "the connection broke after" in error_of(load_model, "tiny")
    assert listed(cache) == ["tiny.tar.gz.part"]
    size = (cache / "tiny.tar.gz.part").stat().st_size
    server.manner = "good"
    load_model("tiny")
    assert server.ranges[-1] == f"bytes={size}-" and listed(cache) == WHOLE


@pytest.mark.parametrize("given", [False, True], ids=["downloaded", "put there"])
def test_a_damaged_file(tiny, cache, server, given):
    """One that was downloaded is deleted; one of a person's stays."""
    good, server.data = server.data, server.data[:200]
    if given:
        cache.mkdir()
        (cache / "tiny.tar.gz").write_bytes(server.data)
    assert "tiny.tar.gz: truncated, or not a tar file" in error_of(load_model, "tiny")
    assert (listed(cache) if cache.exists() else []) == ["tiny.tar.gz"] * given
    if not given:
        server.data = good
        load_model("tiny")


def test_another_file_than_the_first_time(tiny, cache, server):
    load_model("tiny")
    (cache / "tiny" / "best.keras").unlink()
    (cache / "tiny.tar.gz").unlink()
    good, server.data = server.data, server.data + b"\0"
    message = error_of(load_model, "tiny")
    digest = hashlib.sha256(good).hexdigest()
    assert f"{digest} is recorded in {cache / 'SHA256SUMS'}; delete the file, or that" in message
    assert listed(cache) == ["SHA256SUMS", "tiny/labels.json"]
    server.data = good
    load_model("tiny")
    assert listed(cache) == WHOLE


def test_a_published_checksum(tiny, cache, server, monkeypatch):
    monkeypatch.setitem(RELEASED, "tiny", RELEASED["tiny"]._replace(sha256="0" * 64))
    assert f"but {'0' * 64} is published for it; delete the file" in error_of(load_model, "tiny")
    assert not cache.exists()
    digest = hashlib.sha256(server.data).hexdigest()
    for published in (digest, digest[:8]):
        monkeypatch.setitem(RELEASED, "tiny", RELEASED["tiny"]._replace(sha256=published))
        load_model("tiny")
        shutil.rmtree(cache)


def test_weights_that_are_missing(tiny, cache, monkeypatch):
    done = Imported(keras.Sequential(), {}, (), ("a", "b", "c", "d"))
    monkeypatch.setattr(converted, "import_tensorflow", lambda *_, **__: done)
    assert "tiny.tar.gz: has no weights for a, b, c; delete" in error_of(load_model, "tiny")
    assert not cache.exists()


def test_the_cache_folder(monkeypatch, tmp_path):
    for name in ("DEEPLAB_TF_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "deeplab-tf"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert str(cache_folder()) == "/caches/deeplab-tf"
    monkeypatch.setenv("DEEPLAB_TF_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_commands_take_the_name(tiny, cache, tmp_path):
    keras.utils.save_img("photo.png", blocks(40, 61))
    error = run_tool("evaluate", "--model=tiny").error
    assert "--data_dir is required: tiny is a released network, which comes without" in error
    done = run_tool("predict", "--model=tiny", "--out_dir=o", "photo.png")
    assert done.status == 0, done.err
    assert "from tiny: --pad_to=65\n" in done.out
    assert suited_crf("tiny") == params_along("tiny") == CRFParams(w1=1.5, iterations=1)
    assert "tiny: a network that was released; `deeplab-tf models tiny` prints" in done.out
    assert "export --model=tiny --out=tiny_saved_model" in done.out
    assert listed(cache) == WHOLE
    message = error_of(read_weights, "mobilenet", "tiny")
    assert message.startswith("weights tiny: a released network; give --init_from=tiny")
    (cache / "tiny" / "best.keras").rename("tiny.keras")
    (tmp_path / "tiny").mkdir()
    assert is_pretrained("tiny")
    Path("tiny.keras").rename(tmp_path / "tiny" / "best.keras")
    done = run_tool("predict", "--model=tiny", "--out_dir=o", "photo.png")
    assert "tiny: the network here, not the one that was released" in done.out
    assert suited_crf("tiny") is params_along("tiny") is None


def test_photographs_have_the_size_of_the_training(tiny, cache, monkeypatch):
    """`predict` takes it as a flag, and `export` notes it."""
    testing = {"pad_to": 33, "max_side": 33}
    monkeypatch.setitem(RELEASED, "tiny", RELEASED["tiny"]._replace(testing=testing))
    flags = FlagValues()
    predict.define_flags(flags)
    parse_flags(flags, ["--model=tiny", "--out_dir=o"])
    assert recall_for_model(flags) == ["--pad_to=33", "--max_side=33"]
    assert known_setting("tiny", "max_side", int) == 33


def test_the_list(cache):
    lines = run_tool("models").out.splitlines()
    place = lines.index(
        "voc12_mobilenetv2: mobilenetv2, v3_mobile, 21 classes; trained on COCO, VOC 2012 train_aug"
    )
    assert lines[place + 1 : place + 4] == [
        "  published mean IoU 75.32 on VOC 2012 val (output stride 16, one scale)",
        "  terms: Apache License 2.0, as the authors' code",
        "  about 23 MB, downloaded when it is first used",
    ]
    text = run_tool("models", "voc12_mobilenetv2").out
    file = "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz"
    assert f"  file: https://download.tensorflow.org/models/{file}\n" in text
    assert f"  kept as: {cache / file}\n" in text
    assert "  classes: background, aeroplane, " in text
    assert "  --crf means: --crf_w1=2" in text
    assert "--crf means" not in run_tool("models", "cityscapes_mobilenetv2").out
    text = run_tool("models", "ade20k_xception65").out
    assert "  classes: other, wall, building, " in text and ", ...\n" in text
    assert not cache.exists()
    for message in (error_of(deeplab_tf.load_pretrained, "x"), run_tool("models", "x").error):
        assert "msrc21, voc12_mobilenetv2, " in message


def test_the_table():
    for name, network in RELEASED.items():
        backbone, head = network.network.split(", ")
        find_head(head, find_backbone(backbone).name)
        assert network.file_name.endswith((".tar.gz", ".pth")) and network.url.startswith("http")
        data = {"voc12": 21, "cityscapes": 19, "ade20k": 151, "coco": 21}[name.partition("_")[0]]
        assert network.label_set.num_classes == data
        side = {"ade20k_mobilenetv2": 257, "ade20k_xception65": 513}.get(name)
        from_torchvision = name.startswith("coco_voc_")
        assert network.testing.get("max_side") == (700 if from_torchvision else side)
        # Of VOC; Cityscapes has whole images.
        wanted = side or (513 if name.startswith("voc12_") else None)
        assert network.testing.get("pad_to") == wanted
        assert network.testing.keys() <= {"pad_to", "scales", "max_side"}
    assert len({network.url for network in RELEASED.values()}) == len(RELEASED)
    assert released.RELEASED["voc12_xception65"].label_set == VOC


@pytest.mark.slow
def test_a_released_mobilenet(server, cache, tmp_path, monkeypatch):
    """From the server to the scores, with the real reader."""
    net, image = SlimNetwork(), np.full((1, 33, 33, 3), 100, np.float32)
    x = slim_network.mobilenet_v2(net, tf.constant(image / 127.5 - 1), 0.5)
    expected = np.array(slim_network.head(net, x, 21))
    (tmp_path / "served").mkdir()
    files = write_checkpoint(tmp_path / "served" / "model.ckpt", net.variables)
    write_tar(tmp_path / "served" / "a.tar.gz", {file.name: file for file in files})
    server.data = (tmp_path / "served" / "a.tar.gz").read_bytes()
    name = "voc12_mobilenetv2_half"
    monkeypatch.setitem(RELEASED, name, RELEASED[name]._replace(url=server.url))
    found = np.array(deeplab_tf.load_pretrained(name)(image))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
