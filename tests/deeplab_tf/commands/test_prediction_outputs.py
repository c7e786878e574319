"""What `predict` writes beside labels and overlays."""

import sys

import cv2
import numpy as np
import pytest
from html_page import Page, words
from tiny_model import blocks, random_model
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.evaluation import segment
from deeplab_tf.evaluation.class_maps import class_map_picture
from deeplab_tf.evaluation.probability_files import load_probabilities
from deeplab_tf.evaluation.report import photograph_panel, photograph_row
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = LabelSet.in_voc_colors(("sky", "a/b", "car", "overlay"))
CRF = ["--crf", "--crf_w1=5", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=2"]
PARAMS = CRFParams(w1=5, sigma_alpha=20, sigma_beta=15, iterations=2)


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("runs") / "scenes"
    folder.mkdir()
    model.save(folder / "best.keras")
    LABELS.save(folder / "labels.json")
    return folder


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "photos" / name for name in ("one.jpg", "two.v2.png")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), blocks(40 + seed, 61, seed=seed)[..., ::-1])
    return paths


def predict(model_dir, tmp_path, *arguments):
    return run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'out'}", *arguments)


def read_rgb(path):
    return cv2.imread(str(path))[..., ::-1]


def probabilities_of(model, path, crf=None, **settings):
    return segment(model, load_image(path), crf, return_probabilities=True, **settings)


@pytest.mark.parametrize(("flags", "params"), [([], None), (CRF, PARAMS)])
def test_probabilities_are_those_of_segment(model, model_dir, photos, tmp_path, flags, params):
    done = predict(
        model_dir, tmp_path, f"--probabilities_out={tmp_path / 'new/p'}", *flags, *photos
    )
    assert done.status == 0, done.err
    what = "the beliefs after the CRF" if params else "the softmax of the network's scores"
    assert f"probabilities: {what}\n" in done.out
    for path in photos:
        file = tmp_path / "new" / "p" / f"{path.stem}.npz"
        assert str(file) in done.out
        found, names, source = load_probabilities(file)
        np.testing.assert_array_equal(found, probabilities_of(model, path, params))
        assert (names, source) == (LABELS.names, "crf" if params else "network")
        label = load_label(tmp_path / "out" / f"{path.stem}.png", 4)
        np.testing.assert_array_equal(found.argmax(axis=2), label)


def test_formats_at_the_size_of_the_image(model, model_dir, photos, tmp_path):
    expected = probabilities_of(model, photos[1], max_side=30)
    for form, name, error in (("png", "two.v2", 1e-5), ("npz_float16", "two.v2.npz", 3e-4)):
        flags = f"--probabilities_out={tmp_path / 'p'}", f"--probabilities_format={form}"
        for _ in range(2):  # files of an earlier run are replaced
            done = predict(model_dir, tmp_path, *flags, "--max_side=30", photos[1])
            assert done.status == 0, done.err
        found, names, _ = load_probabilities(tmp_path / "p" / name)
        assert (found.shape, names) == ((41, 61, 4), LABELS.names)
        np.testing.assert_allclose(found, expected, rtol=0, atol=error)
    assert cv2.imread(str(tmp_path / "p/two.v2/001_a_b.png"), cv2.IMREAD_UNCHANGED).dtype == "u2"


def test_the_three_lines_of_the_docs(model, model_dir, photos, tmp_path):
    """docs/training.md says how to read the files."""
    flags = f"--probabilities_out={tmp_path / 'p'}", "--probabilities_format=png"
    predict(model_dir, tmp_path, *flags, photos[0])
    files = sorted((tmp_path / "p" / "one").glob("*.png"))
    planes = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
    probabilities = np.stack(planes, axis=-1) / 65535
    expected = probabilities_of(model, photos[0])
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)


def test_pictures_of_each_image(model, model_dir, photos, tmp_path):
    flags = ["--side_by_side", "--class_maps=a/b,overlay"]
    for more, steps in (([], {"network": None}), (CRF, {"network": None, "after CRF": PARAMS})):
        done = predict(model_dir, tmp_path, *flags, *more, *photos)
        assert done.status == 0, done.err
        names = {path.name for path in (tmp_path / "out").iterdir()}
        ends = (".png", "_overlay.png", "_side_by_side.png", "_map_a_b.png", "_map_overlay.png")
        assert names == {f"{stem}{end}" for stem in ("one", "two.v2") for end in ends}
        image = load_image(photos[0])
        found = {title: probabilities_of(model, photos[0], crf) for title, crf in steps.items()}
        labels = [values.argmax(axis=2).astype(np.uint8) for values in found.values()]
        expected = photograph_panel(LABELS, [photograph_row(image, labels, LABELS, 0.6)])
        picture = read_rgb(tmp_path / "out" / "one_side_by_side.png")
        np.testing.assert_array_equal(picture, expected)
        for index, name, file in ((1, "a/b", "one_map_a_b"), (3, "overlay", "one_map_overlay")):
            planes = {title: values[..., index] for title, values in found.items()}
            picture = read_rgb(tmp_path / "out" / f"{file}.png")
            np.testing.assert_array_equal(picture, class_map_picture(name, planes))


def test_a_page_of_all_images(model, model_dir, photos, tmp_path):
    sheet, cut = tmp_path / "new" / "sheet.html", tmp_path / "photos" / "zz_cut.jpg"
    cut.write_bytes(photos[0].read_bytes()[:600])
    done = predict(model_dir, tmp_path, f"--contact_sheet_out={sheet}", tmp_path / "photos")
    assert done.error.startswith(f"error: {cut}: ") and f"wrote {sheet}, " in done.out
    text = sheet.read_text("utf-8")
    shown = words(text)
    assert "Labels by scenes" in shown and "2 images, " in shown
    assert f"Left out: {cut}: cannot be read as JPEG" in shown
    assert f"deeplab-tf predict --model={model_dir} " in shown
    links = [link["href"] for link in Page(text).all("a")]
    assert links[1:4] == ["../photos/one.jpg", "../out/one.png", "../out/one_overlay.png"]
    label = load_label(tmp_path / "out" / "one.png", 4)
    share = 100 * np.bincount(label.ravel()).max() / label.size
    assert f"one.jpg {LABELS.names[np.bincount(label.ravel()).argmax()]} {share:.1f} %" in shown


def test_the_page_of_many_images_names_some(model_dir, photos, tmp_path):
    sheet = tmp_path / "sheet.html"
    done = predict(model_dir, tmp_path, f"--contact_sheet_out={sheet}", *photos, *some(tmp_path, 3))
    assert done.status == 0, done.err
    shown = words(sheet.read_text("utf-8"))
    assert f"{photos[0]} {photos[1]} {tmp_path / '0.png'} ..." in shown and "1.png ..." not in shown


def some(folder, count):
    paths = [folder / f"{index}.png" for index in range(count)]
    for path in paths:
        cv2.imwrite(str(path), blocks(20, 20))
    return paths


@pytest.mark.slow
def test_exports_say_whether_they_hold_a_crf(model, photos, tmp_path):
    flags = f"--probabilities_out={tmp_path / 'p'}", "--side_by_side", "--class_maps=car"
    for name, params in (("inside", PARAMS), ("served", None)):
        export_saved_model(model, tmp_path / name, LABELS, params)
        done = predict(tmp_path / name, tmp_path, *flags, photos[0])
        assert done.status == 0, done.err
        found, names, source = load_probabilities(tmp_path / "p" / "one.npz")
        expected = probabilities_of(model, photos[0], params)
        assert np.abs(found - expected).mean() < 1e-5  # inside, the CRF has another engine
        assert (names, source) == (LABELS.names, "crf" if params else "network")
        maps = {"after CRF" if params else "network": found[..., 2]}
        picture = read_rgb(tmp_path / "out" / "one_map_car.png")
        np.testing.assert_array_equal(picture, class_map_picture("car", maps))
    (tmp_path / "served" / "assets" / "deeplab_tf.json").unlink()  # older versions wrote none
    done = predict(tmp_path / "served", tmp_path, *flags, photos[0])
    assert "as the SavedModel gives them; it does not say whether it holds a CRF" in done.out
    assert load_probabilities(tmp_path / "p" / "one.npz")[2] == "export"


def test_a_png_is_decoded_once(model_dir, photos, tmp_path, monkeypatch):
    from deeplab_tf.data.checks import image_inspection

    monkeypatch.setattr(image_inspection, "decode_image", None)  # calling it would fail
    assert predict(model_dir, tmp_path, photos[1]).status == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class_maps=cat"], "--class_maps: no class 'cat' (did you mean 'car'?); the classes "
         "are sky, a/b, car, overlay"),
        (["--class_maps=a/b,a b"], "two of the names give files of the same name"),
        (["--probabilities_format=png"], "--probabilities_format has no effect without "),
        (["--panel_out=X/same", "--contact_sheet_out=X/same"],
         "=X/same: is also an image or the result of one, or the file of another flag; give "),
        (["--contact_sheet_out=X/out/one.png"], "--contact_sheet_out=X/out/one.png: is also an "),
        (["--probabilities_out=X", "--contact_sheet_out=X/one.npz"], "X/one.npz: is also an image"),
        (["--probabilities_out=X/mine", "--probabilities_format=png"],
         "mine/one: would be replaced, but holds other files, such as notes.txt"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(model_dir, photos, tmp_path, flags, message):
    (tmp_path / "mine" / "one").mkdir(parents=True)
    (tmp_path / "mine" / "one" / "notes.txt").write_text("mine")
    flags = [flag.replace("X", str(tmp_path)) for flag in flags]
    done = predict(model_dir, tmp_path, *flags, photos[0])
    assert message.replace("X", str(tmp_path)) in done.error
    assert not (tmp_path / "out").exists()


def test_a_class_that_is_named_twice_is_drawn_once(model_dir, photos, tmp_path):
    assert predict(model_dir, tmp_path, "--class_maps=car,car", photos[0]).status == 0
    assert (tmp_path / "out" / "one_map_car.png").is_file()


def test_without_jinja_the_page_is_refused_before_the_work(
    model_dir, photos, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as if it were not installed
    done = predict(model_dir, tmp_path, f"--contact_sheet_out={tmp_path / 'x.html'}", photos[0])
    assert "--contact_sheet_out needs the Python package Jinja2" in done.error
    assert not (tmp_path / "out").exists()


def test_probabilities_that_memory_cannot_hold(model_dir, photos, tmp_path, monkeypatch):
    from deeplab_tf.evaluation import probability_files

    monkeypatch.setattr(probability_files, "available_memory", lambda: 1000)
    done = predict(model_dir, tmp_path, f"--probabilities_out={tmp_path / 'p'}", photos[0])
    assert done.error.startswith(f"error: {photos[0]}: the probabilities of 61x40 pixels and 4 ")
    assert not (tmp_path / "out").exists() and not (tmp_path / "p").exists()
