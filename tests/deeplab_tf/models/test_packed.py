"""Small files of trained networks: what is kept exactly, what is rounded, what is refused."""

import json
import zipfile

import keras
import numpy as np
import pytest
from tiny_model import blocks, random_model
from tiny_packed import CRF, NETWORK, pack_tiny, tiny_builder, tiny_card

import deeplab_tf
from deeplab_tf.data.image_files import load_image
from deeplab_tf.errors import InputError
from deeplab_tf.models import ModelCard, load_card, load_model, pack, start_from
from deeplab_tf.models.packed import CARD

pytestmark = pytest.mark.usefixtures("tiny_builder")
assert tiny_builder


@pytest.fixture
def file(tmp_path):
    return pack_tiny(tmp_path / "m.npz", crf=CRF)


def rewrite(path, **members):
    """Replace members of a packed file; None leaves one out."""
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in old.namelist()} | members
    with zipfile.ZipFile(path, "w") as new:
        for name, content in contents.items():
            if content is not None:
                new.writestr(name, content)


def error_of(path):
    with pytest.raises(InputError) as error:
        load_model(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


def test_kernels_are_rounded_to_16_bits_and_vectors_are_kept(tmp_path, file):
    model = random_model()
    kernel, bias = model.get_weights()
    bias += np.float32(1 / 3)
    model.set_weights([kernel, bias])
    found = load_model(pack_tiny(tmp_path / "n.npz", model))
    np.testing.assert_array_equal(found.get_weights()[0], kernel.astype(np.float16))
    np.testing.assert_array_equal(found.get_weights()[1], bias)
    assert {w.dtype for w in found.weights} == {"float32"}
    with np.load(file, allow_pickle=False) as arrays:  # anybody can read it
        assert set(arrays.files) == {CARD, "conv2d:1/0", "conv2d:1/1"}
        assert arrays["conv2d:1/0"].dtype == np.float16
        assert json.loads(arrays[CARD])["network"] == NETWORK


def test_rounding_hardly_changes_labels(file):
    image = blocks(120, 161)
    probabilities, labels = (
        [
            deeplab_tf.segment(model, image, return_probabilities=p)
            for model in (random_model(), load_model(file))
        ]
        for p in (True, False)
    )
    assert np.mean(labels[0] == labels[1]) > 0.999
    assert 0 < np.abs(probabilities[0] - probabilities[1]).max() < 0.01


def test_the_same_network_gives_the_same_bytes(tmp_path, file):
    assert pack_tiny(tmp_path / "other.npz", crf=CRF).read_bytes() == file.read_bytes()


def test_packing_a_packed_network_again_changes_nothing(tmp_path, file):
    assert pack(load_model(file), tmp_path / "again.npz", load_card(file)) == 0
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_network_of_the_package(tmp_path):
    """Batch normalization and depthwise kernels; float32 even if everything else has 16 bits."""
    network = {
        "backbone": "mobilenet", "head": "plain", "num_classes": 4, "output_stride": 16,
        "scales": (1.0,), "input_shape": (None, None, 3),
    }  # fmt: skip
    model = deeplab_tf.build_deeplab(**network, weights=None)
    rng = np.random.default_rng(0)
    model.set_weights([w * rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    card = tiny_card(network={"network": "deeplab", **network})
    change = pack(model, tmp_path / "m.npz", card)
    assert 0 < change < 0.01
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = load_model(tmp_path / "m.npz")
    finally:
        keras.config.set_dtype_policy(policy)
    assert (tmp_path / "m.npz").stat().st_size < 2.1 * model.count_params()
    for ours, theirs in zip(model.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-7)
    images = rng.uniform(0, 255, (1, 65, 81, 3)).astype(np.float32)
    scores, others = model(images).numpy(), found(images).numpy()
    assert others.dtype == np.float32
    np.testing.assert_allclose(others, scores, atol=0.02 * np.abs(scores).max())
    start = start_from(model, tmp_path / "m.npz")
    assert len(start.copied) > 50 and not start.reshaped and not start.absent
    np.testing.assert_array_equal(model.get_weights()[0], found.get_weights()[0])


@pytest.mark.slow
def test_labels_of_street_scenes_hardly_change(weights, camvid, tmp_path):
    """With real features, but a random head: its labels are less certain than trained ones."""
    network = {"backbone": "efficientnetlite0", "head": "large_fov", "num_classes": 4}
    file = weights / "efficientnet_lite0_keras.weights.h5"
    model = deeplab_tf.build_deeplab(**network, output_stride=16, weights=file)
    card = tiny_card(network={"network": "deeplab", **network, "output_stride": 16})
    assert 0 < pack(model, tmp_path / "m.npz", card) < 0.01
    assert (tmp_path / "m.npz").stat().st_size < 12e6
    packed = load_model(tmp_path / "m.npz")
    for path in sorted((camvid / "JPEGImages").glob("*.jpg"))[:100:50]:
        image = load_image(path)
        labels = deeplab_tf.segment(model, image), deeplab_tf.segment(packed, image)
        assert len(np.unique(labels[0])) > 1
        assert np.mean(labels[0] == labels[1]) > 0.99


@pytest.mark.parametrize("layers", [(5, 9), (4, 7), (4, 9)])
def test_settings_of_another_network_are_refused(tmp_path, layers):
    """Other shapes, or the same shapes in a network with other scores."""
    classes, size = layers
    convolution = keras.layers.Conv2D(classes, size, 8, padding="same")
    model = keras.Sequential([keras.Input((None, None, 3)), convolution])
    with pytest.raises(InputError, match="settings build another network than"):
        pack(model, tmp_path / "m.npz", tiny_card())
    assert not list(tmp_path.iterdir())


def test_a_weight_beyond_16_bits_is_refused(tmp_path):
    model = random_model()
    kernel, bias = model.get_weights()
    kernel[0, 0, 0, 0] = 70000
    model.set_weights([kernel, bias])
    with pytest.raises(InputError, match="conv2d:1/0 has values beyond 65504"):
        pack_tiny(tmp_path / "m.npz", model)
    model.set_weights([kernel * 0, bias + 70000])  # vectors have 32 bits
    assert load_model(pack_tiny(tmp_path / "m.npz", model)).get_weights()[1].max() == 7e4


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off(file, kept):
    contents = file.read_bytes()
    file.write_bytes(contents[: int(len(contents) * kept)])
    assert "damaged, cut off" in error_of(file)


def test_a_changed_byte_is_noticed(file):
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 255
    file.write_bytes(contents)
    assert "damaged, cut off" in error_of(file)


def test_files_of_other_kinds(tmp_path, file):
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))
    assert f"it has no {CARD}" in error_of(tmp_path / "arrays.npz")
    (tmp_path / "text.npz").write_text("x")
    assert "not a packed network" in error_of(tmp_path / "text.npz")
    file.rename(tmp_path / "m.zip")
    assert "packed network; rename it so that it ends in .npz" in error_of(tmp_path / "m.zip")
    random_model().save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="not a packed network; `deeplab-tf pack` makes one"):
        load_card(tmp_path / "m.keras")


def test_files_of_other_versions(file):
    content = json.loads(load_card(file).to_json())
    for change, said in (
        ({"format": 2}, "newer version"),
        ({"network": {**NETWORK, "network": "transformer"}}, "cannot be built by this version"),
        ({"network": {**NETWORK, "num_classes": 5}}, "cannot be built by this version"),
    ):
        rewrite(file, **{CARD: json.dumps({**content, **change})})
        assert said in error_of(file)


def test_missing_and_further_weights(file):
    rewrite(file, **{"further/0.npy": zipfile.ZipFile(file).read("conv2d:1/1.npy")})
    assert "its weight further/0 is not part of the network" in error_of(file)
    rewrite(file, **{"conv2d:1/1.npy": None, "further/0.npy": None})
    assert "it has no weight conv2d:1/1" in error_of(file)


def test_the_example_of_the_docstring(file):
    card = load_card(file)
    assert isinstance(card, ModelCard)
    label = deeplab_tf.segment(load_model(file), blocks(20, 30), crf=card.crf_params)
    assert label.shape == (20, 30)
