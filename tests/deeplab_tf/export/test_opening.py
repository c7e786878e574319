"""One interface for networks of every kind of file."""

import numpy as np
import pytest
from tiny_model import blocks, preparations, random_model
from tiny_packed import CRF, LABELS, pack_tiny, tiny_builder  # noqa: F401

from crf import CRFParams
from deeplab_tf import InputError, load_model, open_model, segment
from deeplab_tf.evaluation.opened import refuse_settings
from deeplab_tf.export import export_saved_model, load_description
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.locate import model_checksum

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.usefixtures("tiny_builder")
def test_every_kind_of_file(tmp_path):
    model, image = random_model(), blocks(41, 60)
    model.save(tmp_path / "best.keras")
    LABELS.save(tmp_path / "labels.json")
    export_saved_model(model, tmp_path / "served", LABELS, suited_crf=CRFParams(**CRF))
    pack_tiny(tmp_path / "packed.npz", model, crf=CRF)
    for name in (".", "best.keras", "served", "packed.npz"):
        opened = open_model(tmp_path / name)
        assert opened.classes == LABELS.names and opened.label_set == LABELS, name
        assert (opened.stride, opened.channels) == (8, 3) and not opened.has_crf
        has_card = name in ("packed.npz", "served")
        assert opened.crf == (CRFParams(**CRF) if has_card else None), name
        assert opened.input_shape[-1] == 3 and opened.output_shape[-1] == 4
        kernels = load_model(tmp_path / name) if name == "packed.npz" else model  # in 16 bits
        expected = segment(kernels, image, return_probabilities=True)
        np.testing.assert_allclose(opened.probabilities(image), expected, atol=1e-5)
        np.testing.assert_array_equal(segment(opened, image), expected.argmax(-1))
        np.testing.assert_allclose(np.exp(opened.scores(image)), expected, atol=1e-5)


def test_classes_of_another_network(tmp_path):
    random_model().save(tmp_path / "best.keras")
    LabelSet.generic(3).save(tmp_path / "labels.json")
    with pytest.raises(InputError, match=r"labels.json: 3 classes but the model .* has 4; fix"):
        open_model(tmp_path)


def test_a_description_is_read_again_after_a_change(tmp_path):
    path = tmp_path / "served"
    export_saved_model(random_model(), path, LABELS)
    assert load_description(path).max_side is None
    file = path / "assets" / "deeplab_tf.json"
    file.write_text(file.read_text().replace('"max_side": null', '"max_side": 320'))
    assert load_description(path).max_side == 320


def test_weights_are_prepared_once_for_all_images(tmp_path, monkeypatch):
    prepared = preparations(monkeypatch)
    random_model().save(tmp_path / "m.keras")
    opened = open_model(tmp_path / "m.keras")
    opened.probabilities(blocks(41, 60))
    segment(opened, blocks(30, 30), scales=(1, 0.5))
    assert len(prepared) == 1


def test_settings_of_keras_networks_are_free(tmp_path):
    model, image = random_model(), blocks(41, 60)
    model.save(tmp_path / "m.keras")
    settings = {"scales": (1, 0.5), "flip": True, "pad_to": 70}
    expected = segment(model, image, return_probabilities=True, **settings)
    found = segment(open_model(tmp_path / "m.keras"), image, return_probabilities=True, **settings)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_advice_about_a_setting_that_was_fixed():
    refuse_settings("m.onnx", {"scales": [1], "flip": False, "tile": None, "pad_to": None})
    again = "export it again with this setting, or give a .keras model"
    for settings, advice in (
        ({"flip": True}, f"whose settings were fixed by its export; {again}"),
        ({"tile": 65}, "which scores whole images; give a .keras model"),  # no setting of exports
    ):
        with pytest.raises(InputError) as error:
            refuse_settings("m.onnx", settings)
        name = next(iter(settings))
        assert str(error.value) == (
            f"{name} has no effect: m.onnx is an exported network, {advice}"
        )


def test_there_is_none(tmp_path):
    for name in ("missing.onnx", "missing.keras", "missing"):
        with pytest.raises(InputError, match=f"no model .*{name}"):
            open_model(tmp_path / name)


def test_keras_does_not_load_an_export(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"m.onnx is an export to onnx, which `deeplab-tf predict"):
        load_model(tmp_path / "m.onnx")


def test_the_checksum_is_of_all_files(tmp_path):
    (tmp_path / "m.xml").write_bytes(b"graph")
    (tmp_path / "m.bin").write_bytes(b"weights")
    before = model_checksum(tmp_path / "m.xml")
    (tmp_path / "m.bin").write_bytes(b"others")
    assert model_checksum(tmp_path / "m.xml") != before
