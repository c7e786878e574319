"""The table of the networks that come with the package, and the networks that are in it."""

import hashlib
import json
import subprocess

import numpy as np
import pytest
from tiny_model import blocks, random_model
from tiny_packed import CRF, LABELS, shipped, tiny_builder
from tool_runner import run_tool

import deeplab_tf
from deeplab_tf import pretrained
from deeplab_tf.commands.card_text import card_text
from deeplab_tf.errors import InputError
from deeplab_tf.models import find_model, load_card, load_model
from deeplab_tf.pretrained import find_pretrained, pretrained_names, record_sum

assert shipped and tiny_builder

MOST_BYTES = 12e6  # of a file in the wheel
LEAST_SECTIONS = ("Data", "Terms", "Limits")


def test_a_network_by_its_name(shipped):
    assert pretrained_names() == ("squares",)
    for load in (deeplab_tf.load_pretrained, load_model):
        model, image = load("squares"), blocks(40, 61)
        labels = deeplab_tf.segment(model, image), deeplab_tf.segment(random_model(), image)
        assert np.mean(labels[0] == labels[1]) > 0.999
    assert load_card("squares").label_set == LABELS
    assert load_card("squares").crf == CRF


def test_an_unknown_name(shipped):
    message = "no network 'circles' comes with this package; available: squares"
    with pytest.raises(InputError) as error:
        find_pretrained("circles")
    assert str(error.value) == message
    with pytest.raises(InputError, match=r"no trained network .*'circles'; .*: squares, "):
        deeplab_tf.load_pretrained("circles")
    with pytest.raises(InputError, match=r"no model circles; .*`deeplab-tf models` lists: squares"):
        load_model("circles")


def test_a_damaged_file_is_named(shipped):
    path = shipped / "squares.npz"
    contents = path.read_bytes()
    for damaged in (contents[:-100], contents[:500] + b"\0" + contents[501:], b""):
        path.write_bytes(damaged)
        for load in (deeplab_tf.load_pretrained, load_model):
            with pytest.raises(InputError) as error:
                load("squares")
            text = str(error.value)
            assert text.startswith(f"{path}: damaged or cut off, its SHA-256 is not that of")
            assert text.endswith("install this package again")
    path.unlink()
    with pytest.raises(InputError, match=r"squares\.npz: missing; install this package again"):
        deeplab_tf.load_pretrained("squares")


def test_the_table_is_that_of_sha256sum(shipped):
    (shipped / "a.npz").write_bytes(b"x")
    assert record_sum(shipped / "a.npz") == shipped / pretrained.SUMS
    lines = (shipped / pretrained.SUMS).read_text().splitlines()
    assert lines[0] == f"{hashlib.sha256(b'x').hexdigest()}  a.npz"
    assert [line[64:] for line in lines] == ["  a.npz", "  squares.npz"]
    subprocess.run(["sha256sum", "--check", pretrained.SUMS], cwd=shipped, check=True)
    (shipped / "a.npz").write_bytes(b"y")
    record_sum(shipped / "a.npz")
    assert find_pretrained("a") == shipped / "a.npz"


def test_a_folder_without_a_table(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"x")
    assert record_sum(tmp_path / "a.npz") is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_what_is_here_comes_before_the_package(shipped, tmp_path):
    """A file or model directory does, but not a folder that holds no network."""
    here = tmp_path / "squares"
    here.mkdir()
    (here / "JPEGImages").mkdir()  # a data set
    assert find_model("squares") == shipped / "squares.npz"
    (here / "run.json").write_text("{}")  # a training that has not saved a network yet
    with pytest.raises(InputError, match=r"no model in squares: expected best\.keras"):
        find_model("squares")
    random_model(5).save(here / "best.keras")
    assert load_model("squares").output_shape[-1] == 5
    assert find_model("./squares").name == "best.keras"
    assert load_card(shipped / "squares.npz").label_set == LABELS


def test_a_file_of_that_name(shipped, tmp_path):
    (tmp_path / "squares").write_text("x")
    with pytest.raises(InputError, match="squares: not a Keras model"):
        load_model("squares")


# The networks that are in the package. Each test goes over all of them, be there none or many, so
# that it cannot be left out; the tests above run the same code on a network of their own.


def test_every_file_of_the_package_is_in_the_table():
    files = {path.stem for path in pretrained.FOLDER.glob("*.npz")}
    assert files == set(pretrained_names())
    assert {path.stem for path in pretrained.FOLDER.glob("*.md")} == files
    for name in pretrained_names():
        assert find_pretrained(name).stat().st_size <= MOST_BYTES, name


def test_every_card_of_the_package_is_complete():
    for name in pretrained_names():
        card = load_card(name)
        assert card.summary and card.scores and card.crf_params and card.training, name
        for section in LEAST_SECTIONS:
            assert card.section(section), (name, section)
        assert tuple(card.scores["per_class_iou"]) == card.label_set.names, name
        page = (pretrained.FOLDER / f"{name}.md").read_text()
        assert page == card_text(name, card, find_pretrained(name).stat().st_size), name


def test_every_network_of_the_package_labels_an_image():
    for name in pretrained_names():
        model, card = deeplab_tf.load_pretrained(name), load_card(name)
        assert model.output_shape[-1] == card.label_set.num_classes
        label = deeplab_tf.segment(model, blocks(97, 129), crf=card.crf_params)
        assert label.shape == (97, 129) and label.max() < card.label_set.num_classes, name


@pytest.mark.slow
def test_the_scores_of_the_package_are_those_of_its_cards(camvid, msrc21, tmp_path):
    folders = {"camvid": camvid, "msrc21": msrc21}
    for name in pretrained_names():
        scores, file = load_card(name).scores, tmp_path / f"{name}.json"
        settings = scores["settings"]
        done = run_tool(
            "evaluate", f"--model={name}", f"--data_dir={folders[name]}", "--crf",
            f"--split={settings['split']}", f"--skip={settings['skip']}", f"--json_out={file}",
        )  # fmt: skip
        assert done.status == 0, done.err
        found = json.loads(file.read_text())
        # Cards of older versions lack settings that were added since.
        assert {key: found["settings"][key] for key in settings} == settings
        for part, again in ((scores, found), (scores["crf"], found["crf"])):
            for score in ("miou", "pixel_accuracy"):
                assert again[score] == pytest.approx(part[score], abs=2e-3), (name, score)
