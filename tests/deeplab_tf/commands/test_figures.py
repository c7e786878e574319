import io
import sys
import types

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_model import blocks, random_model
from tool_runner import run_tool

from deeplab_tf.commands.figure_drawers import largest_class
from deeplab_tf.commands.figures import USES
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.data.synthetic import CLASSES, write_synthetic
from deeplab_tf.evaluation.figures.canvas import LARGE_FILE, encode, new_figure, readable_labels
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photograph, its label, a data set, and a network for it."""
    folder = tmp_path_factory.mktemp("figures")
    cv2.imwrite(str(folder / "photo.png"), blocks(48, 60)[..., ::-1])
    cv2.imwrite(str(folder / "label.png"), np.uint8([[0] * 30 + [3] * 30] * 48))
    write_synthetic(folder / "data", num_train=1, num_val=4, size=(128, 128))
    (folder / "model").mkdir()
    random_model(len(CLASSES)).save(folder / "model" / "best.keras")
    LabelSet.in_voc_colors(CLASSES).save(folder / "model" / "labels.json")
    return folder


def figures(figure, out, *arguments):
    return run_tool("figures", f"--figure={figure}", f"--out={out}", *arguments)


def arguments_of(figure, folder):
    model, photo = f"--model={folder / 'model'}", folder / "photo.png"
    return {
        "atrous": [photo],
        "two_ways": [photo],
        "fields_of_view": [model, "--field_side=33"],
        "beliefs": [model, "--class_name=disc", photo],
        "trimaps": [f"--label={folder / 'label.png'}", photo],
        "failures": [model, f"--data_dir={folder / 'data'}", "--crf", "--panel_rows=2"],
    }[figure]


@pytest.mark.parametrize("figure", USES)
def test_every_figure_is_drawn(folder, tmp_path, figure):
    out = tmp_path / "new" / "figure.png"
    done = figures(figure, out, *arguments_of(figure, folder))
    assert done.status == 0, done.err
    with Image.open(out) as picture:
        assert picture.width == 800 and picture.height > 100
    assert f"wrote {out}" in done.out.splitlines()
    assert done.out.splitlines()[-1].startswith("next: deeplab-tf ")


def test_the_figures_are_in_the_help():
    text = run_tool("figures", "--help").out
    assert all(f"\n  {figure} " in text for figure in USES)


def test_svg_and_small_files(folder, tmp_path):
    label = f"--label={folder / 'label.png'}"
    done = figures("trimaps", tmp_path / "f.svg", "--trimap_widths=2", label)
    assert done.status == 0, done.err
    assert b"<svg" in (tmp_path / "f.svg").read_bytes()
    figure = new_figure(3, 3)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3))
    figure.figimage(noise / 255)
    with Image.open(io.BytesIO(encode(figure, "png"))) as picture:
        assert picture.mode == "P"  # a palette
    with Image.open(io.BytesIO(encode(new_figure(2, 2), "png"))) as picture:
        assert picture.mode == "RGB"
    assert LARGE_FILE < 150_000


def test_classes_without_colors_get_readable_ones():
    labels = readable_labels(LabelSet.generic(255).names)
    assert len(set(labels.colors)) == 255
    brightness = [sum(color) for color in labels.colors[:8]]
    assert min(brightness[1:]) > brightness[0]
    assert readable_labels(("a", "b")).colors == ((70, 70, 70), (0, 114, 178))


def test_the_largest_object_is_shown():
    labels = LabelSet(("background", "a", "b"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    maps = np.float32([[[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]]])
    assert largest_class(labels, maps) == 2
    assert largest_class(labels, maps[:, :2]) == 0


def test_the_failures_are_the_images_with_the_lowest_mean_iou(folder, tmp_path):
    done = figures("failures", tmp_path / "f.png", *arguments_of("failures", folder)[:2])
    assert done.status == 0, done.err
    model, scores = random_model(len(CLASSES)), {}
    for name in (folder / "data/ImageSets/Segmentation/val.txt").read_text().split():
        image = load_image(folder / "data" / "JPEGImages" / f"{name}.jpg")
        truth = load_label(folder / "data" / "SegmentationClass" / f"{name}.png", len(CLASSES))
        confusion = ConfusionMatrix(len(CLASSES))
        confusion.add(truth, segment(model, image))
        scores[name] = confusion.miou
    worst = sorted(scores, key=scores.get)[:3]
    lines = [line for line in done.out.splitlines() if ": mean IoU " in line]
    assert lines == [f"{name}: mean IoU {scores[name]:.4f}" for name in worst]
    assert "4/4" in done.err and "3/3" not in done.err  # no image is predicted twice


def test_the_measured_fields_are_printed(folder, tmp_path):
    done = figures("fields_of_view", tmp_path / "f.png", *arguments_of("fields_of_view", folder))
    # One convolution of 9 pixels.
    assert ["network", "-", "9x9"] in [line.split() for line in done.out.splitlines()]


def test_without_an_image_a_photograph_of_scikit_image_is_shown(tmp_path, monkeypatch):
    asked = []
    data = types.ModuleType("skimage.data")
    data.chelsea = lambda: asked.append(1) or blocks(50, 70)
    monkeypatch.setitem(sys.modules, "skimage", types.ModuleType("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.data", data)
    assert figures("two_ways", tmp_path / "f.png").status == 0
    assert asked
    monkeypatch.setitem(sys.modules, "skimage.data", None)  # not installed
    error = figures("two_ways", tmp_path / "g.png").error
    assert error.startswith("error: no image is given")
    assert 'name an image, or pip install "deeplab-tf[photographs]"' in error
    assert not (tmp_path / "g.png").exists()


def test_a_data_set_names_the_classes_of_trimaps(folder, tmp_path):
    data = f"--data_dir={folder / 'data'}"
    assert figures("trimaps", tmp_path / "f.png", data, "--skip=3").status == 0
    assert figures("trimaps", tmp_path / "g.png", "--trimap_widths=2").status == 0  # a scene
    error = figures("trimaps", tmp_path / "f.png", data, "--skip=4").error
    assert "--skip=4: val has only 4 images" in error


@pytest.mark.parametrize(
    ("figure", "arguments", "message"),
    [
        ("atrous", ["--crf"], "--crf has no effect on --figure=atrous; leave it out"),
        ("trimaps", ["--rate=3"], "--rate has no effect on --figure=trimaps"),
        ("trimaps", ["--skip=1"], "--skip has no effect without --data_dir"),
        ("trimaps", ["--trimap_widths=0,2"], "--trimap_widths=0,2: give whole numbers of at"),
        ("trimaps", ["--trimap_widths=x"], "--trimap_widths=x: give whole numbers of at least 1"),
        ("trimaps", ["PHOTO"], "needs the labels of the image; add --label"),
        ("failures", ["--crf"], "--model is required for --figure=failures"),
        ("failures", ["MODEL"], "--data_dir is required"),
        ("failures", ["MODEL", "DATA", "PHOTO"], "--figure=failures takes no image"),
        (
            "fields_of_view",
            ["MODEL", "--field_heads=4x4"],
            "--field_heads has no effect with --model",
        ),
        ("fields_of_view", ["--field_heads=5x5"], "unknown head '5x5'"),
        ("fields_of_view", ["--field_heads="], "--field_heads is empty"),
        (
            "beliefs",
            ["MODEL", "--class_name=cat", "PHOTO"],
            "--class_name: no class 'cat'; the classes",
        ),
        ("beliefs", ["MODEL", "--probabilities_after=x", "PHOTO"], "--probabilities_after=x"),
        ("two_ways", ["PHOTO", "PHOTO"], "2 images are given; a figure shows one"),
        ("atrous", ["MISSING"], "No such file"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(folder, tmp_path, figure, arguments, message):
    files = {
        "PHOTO": folder / "photo.png",
        "MISSING": folder / "missing.png",
        "MODEL": f"--model={folder / 'model'}",
        "DATA": f"--data_dir={folder / 'data'}",
    }
    given = [files.get(word, word) for word in arguments]
    assert message in figures(figure, tmp_path / "f.png", *given).error
    assert not (tmp_path / "f.png").exists()


def test_the_name_of_the_file_is_checked_first(tmp_path):
    error = figures("atrous", tmp_path / "f.jpg").error
    assert error.endswith("f.jpg: give a name that ends with .png or .svg")
