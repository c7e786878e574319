import shutil

import cv2
import numpy as np
import planted
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.evaluation import segment
from deeplab_tf.evaluation.report import photograph_row
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.precision import with_precision
from deeplab_tf.visualize import overlay_with_legend

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BFLOAT16 = "--precision=mixed_bfloat16"
LABELS = LabelSet(("a", "b", "c", "d"), ((200, 0, 0), (0, 150, 0), (0, 0, 250), (90, 90, 0)))


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "best.keras")
    LABELS.save(folder / "labels.json")
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory, model):
    """An export with the CRF inside, which takes seconds to write."""
    path = tmp_path_factory.mktemp("exports") / "served"
    export_saved_model(model, path, LABELS, CRFParams(iterations=2))
    return path


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "one.jpg", tmp_path / "two.v2.png"]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), blocks(40 + seed, 61, seed=seed)[..., ::-1])
    return paths


def predict(model_dir, out_dir, *arguments):
    return run_tool("predict", f"--model={model_dir}", f"--out_dir={out_dir}", *arguments)


def read_rgb(path):
    return cv2.imread(str(path))[..., ::-1]


def test_each_image_gets_labels_and_overlay(model, model_dir, photos, tmp_path):
    out_dir = tmp_path / "new" / "out"
    done = predict(model_dir, out_dir, *photos)
    assert done.status == 0, done.err
    names = ["one.png", "one_overlay.png", "two.v2.png", "two.v2_overlay.png"]
    assert sorted(path.name for path in out_dir.iterdir()) == names
    for path in photos:
        image = load_image(path)
        expected = segment(model, image)
        label_path = out_dir / f"{path.stem}.png"
        np.testing.assert_array_equal(load_label(label_path, 4), expected)
        # OpenCV shows a palette PNG in its palette's colors.
        np.testing.assert_array_equal(read_rgb(label_path), LABELS.color_table()[expected])
        tinted = overlay_with_legend(image, expected, LABELS)
        np.testing.assert_array_equal(read_rgb(out_dir / f"{path.stem}_overlay.png"), tinted)
    assert "2/2" in done.err
    wrote, following = done.out.splitlines()  # nothing about plain images
    assert wrote.startswith("wrote ") and following.startswith("next: ")


def test_flags_reach_the_network_and_the_crf(model, model_dir, photos, tmp_path):
    flags = [
        "--crf",
        "--crf_w1=5",
        "--crf_sigma_alpha=20",
        "--crf_sigma_beta=15",
        "--crf_w2=2",
        "--crf_sigma_gamma=2",
        "--crf_iterations=2",
        "--crf_normalization=after",
        "--scales=1,0.5",
        "--flip",
        "--tile=33",
        "--pad_to=41",
    ]
    done = predict(model_dir, tmp_path / "out", *flags, photos[0])
    assert done.status == 0, done.err
    params = CRFParams(5, 20, 15, 2, 2, 2, "after")
    settings = {"scales": (1, 0.5), "flip": True, "tile": 33, "pad_to": 41}
    image = load_image(photos[0])
    expected = segment(model, image, params, **settings)
    np.testing.assert_array_equal(load_label(tmp_path / "out" / "one.png", 4), expected)
    assert (expected != segment(model, image, **settings)).any()


@pytest.mark.bfloat16
def test_the_network_in_16_bits(model, model_dir, photos, tmp_path):
    done = predict(model_dir, tmp_path / "out", BFLOAT16, photos[0])
    assert done.status == 0, done.err
    expected = segment(with_precision(model, "mixed_bfloat16"), load_image(photos[0]))
    np.testing.assert_array_equal(load_label(tmp_path / "out" / "one.png", 4), expected)


@pytest.fixture
def panorama(tmp_path):
    path = tmp_path / "panorama.png"
    cv2.imwrite(str(path), blocks(20, 1610)[..., ::-1])
    return path


@pytest.mark.parametrize(
    ("flags", "settings", "report"),
    [
        (
            [],
            {"max_side": 1500},
            "scored at 1500x19 instead of 1610x20 pixels, labels at full size",
        ),
        (["--max_side=800", "--tile=100"], {"max_side": 800, "tile": 100}, "scored at 800x10 "),
        (["--max_side=1610"], {}, ""),
        (["--max_side=0"], {}, ""),
        (["--tile=100"], {"tile": 100}, ""),
    ],
)
def test_large_images_are_scored_smaller(
    model, model_dir, panorama, tmp_path, flags, settings, report
):
    done = predict(model_dir, tmp_path / "out", *flags, panorama)
    assert done.status == 0, done.err
    expected = segment(model, load_image(panorama), **settings)
    np.testing.assert_array_equal(load_label(tmp_path / "out" / "panorama.png", 4), expected)
    assert done.out.count("0: no limit") == bool(report)
    if report:
        assert f"{panorama}: {report}" in done.out


def test_all_large_images_are_reported_in_one_line(model_dir, photos, panorama, tmp_path):
    done = predict(model_dir, tmp_path / "out", "--max_side=40", "--crf", panorama, *photos)
    (line,) = [line for line in done.out.splitlines() if "scored at" in line]
    assert "40x1 instead of 1610x20" in line and "and 2 more images likewise" in line


def test_a_saved_model_scores_large_images_smaller(model, panorama, tmp_path):
    export_saved_model(model, tmp_path / "served", LABELS)
    done = predict(tmp_path / "served", tmp_path / "out", "--max_side=400", panorama)
    assert "scored at 400x5 " in done.out
    expected = segment(model, load_image(panorama), max_side=400)
    found = load_label(tmp_path / "out" / "panorama.png", LABELS.num_classes)
    assert np.mean(found == expected) > 0.999


def test_without_labels_json_the_palette_is_that_of_voc(model, photos, tmp_path):
    model.save(tmp_path / "alone.keras")
    done = predict(tmp_path / "alone.keras", tmp_path / "out", photos[0])
    assert done.status == 0, done.err
    expected = LabelSet.generic(4).color_table()[segment(model, load_image(photos[0]))]
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "one.png"), expected)


def test_labels_json_of_another_model_is_refused(model, photos, tmp_path):
    model.save(tmp_path / "best.keras")
    LabelSet.generic(5).save(tmp_path / "labels.json")
    done = predict(tmp_path, tmp_path / "out", photos[0])
    assert "labels.json: 5 classes but the model" in done.error


def test_a_missing_image_stops_before_the_first(model_dir, photos, tmp_path):
    missing = tmp_path / "missing.jpg"
    done = predict(model_dir, tmp_path / "out", *photos, missing)
    assert done.error == f"error: {missing}: no such image; check the path"
    assert not (tmp_path / "out").exists()


def test_damaged_images_leave_no_files(model_dir, photos, tmp_path):
    cut, text = tmp_path / "cut.jpg", tmp_path / "text.jpg"
    cut.write_bytes(photos[0].read_bytes()[:600])
    text.write_text("no image")
    for path in (cut, text):
        out_dir = tmp_path / f"out_{path.stem}"
        done = predict(model_dir, out_dir, path)
        assert f"error: {path}: cannot be read" in done.error
        assert not out_dir.exists() or not list(out_dir.iterdir())


def test_images_that_an_export_does_not_take_do_not_stop_the_others(model, photos, tmp_path):
    export_saved_model(model, tmp_path / "served", LABELS, image_size=(41, 61))
    done = predict(tmp_path / "served", tmp_path / "out", *photos)
    assert done.status == 1 and f"left out: {photos[0]}: " in done.out
    assert done.error.startswith(f"error: {photos[0]}: ") and "41" in done.error
    assert (tmp_path / "out" / "two.v2.png").is_file()


def test_damaged_images_do_not_stop_the_others(model_dir, photos, tmp_path):
    cut, gray_end = tmp_path / "cut.jpg", tmp_path / "gray_end.jpg"
    jpeg = photos[0].read_bytes()
    cut.write_bytes(jpeg[:600])
    gray_end.write_bytes(jpeg[: len(jpeg) * 3 // 4] + jpeg[-2:])  # what is missing would be gray
    done = predict(model_dir, tmp_path / "out", cut, photos[0], gray_end, photos[1])
    assert done.error == f"error: 2 of 4 images were left out: {cut}, {gray_end}"
    assert f"left out: {cut}: cannot be read as JPEG image (damaged" in done.out
    assert f"left out: {gray_end}: JPEG of 61x40 damaged or cut off; replace it" in done.out
    names = ["one.png", "one_overlay.png", "two.v2.png", "two.v2_overlay.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_the_images_of_a_folder_are_labeled(model_dir, photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, ending in enumerate((".JPG", ".png", ".tif", ".bmp", ".webp")):
        cv2.imwrite(f"{folder}/{index}{ending}", blocks(30, 41, seed=index))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.jpg").write_text("no image")
    (folder / "more").mkdir()
    done = predict(model_dir, tmp_path / "out", folder, photos[0])
    assert done.status == 0, done.err
    names = [path.name for path in (tmp_path / "out").glob("*_overlay.png")]
    assert sorted(names) == [*(f"{index}_overlay.png" for index in range(5)), "one_overlay.png"]
    assert f"{folder / 'more'}: has no file that ends with .jpg" in (
        predict(model_dir, tmp_path / "out", folder / "more").error
    )
    assert f"{folder}: results would be written among the images" in (
        predict(model_dir, folder, folder).error
    )


def test_a_line_says_what_was_done_to_an_image(model, model_dir, tmp_path):
    image, folder = blocks(40, 61), tmp_path / "photos"
    folder.mkdir()
    jpeg = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    files = {
        "12 bits.png": planted.png(image.astype(np.uint16) * 16),
        "alpha.png": planted.png(np.dstack([image, image[..., 0]])),
        "cmyk.jpg": planted.cmyk_jpeg(image[..., 0]),
        "gray.png": planted.png(image[..., 0]),
        "plain.jpg": jpeg,
        "turned.jpg": planted.with_orientation(jpeg, 6),
    }
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    done = predict(model_dir, tmp_path / "out", folder)
    assert done.status == 0, done.err
    highest = 16 * int(image.max())
    assert done.out.splitlines()[:-2] == [  # without the files written and the next command
        f"{folder / '12 bits.png'}: 16 bits per channel, read as 12 because no value is above"
        f" {highest}",
        f"{folder / 'alpha.png'}: alpha channel, which is dropped",
        f"{folder / 'cmyk.jpg'}: CMYK, converted to RGB without its color profile",
        f"{folder / 'gray.png'}: gray image",
        f"{folder / 'turned.jpg'}: turned by its EXIF tag (orientation 6) to 40x61",
    ]
    # Labels fit what viewers and cv2.imread show.
    shown = read_rgb(folder / "turned.jpg")
    assert shown.shape == (61, 40, 3)
    found = load_label(tmp_path / "out" / "turned.png", 4)
    np.testing.assert_array_equal(found, segment(model, shown))
    found = load_label(tmp_path / "out" / "12 bits.png", 4)
    np.testing.assert_array_equal(found, segment(model, image))


def test_images_of_one_name_are_refused(model_dir, photos, tmp_path):
    other = tmp_path / "elsewhere" / "one.png"
    other.parent.mkdir()
    shutil.copy(photos[0], other)
    done = predict(model_dir, tmp_path / "out", photos[0], other)
    assert f"{other}: its result" in done.error and "one.png" in done.error
    nearly = tmp_path / "one_overlay.jpg"
    shutil.copy(photos[0], nearly)
    assert "one_overlay.png" in predict(model_dir, tmp_path / "out", photos[0], nearly).error
    twice = predict(model_dir, tmp_path / "out", photos[0], photos[0])
    assert "is also that of" in twice.error


def test_inputs_are_not_overwritten(model_dir, photos, tmp_path):
    before = photos[1].read_bytes()
    done = predict(model_dir, tmp_path, photos[1])
    assert "would replace an input" in done.error
    assert photos[1].read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [([], "no image is given"), (["--tile=9", "one.jpg"], "tile 9")],
)
def test_bad_input_is_one_clear_line(model_dir, photos, tmp_path, flags, message):
    arguments = [tmp_path / flag if flag.endswith(".jpg") else flag for flag in flags]
    assert message in predict(model_dir, tmp_path / "out", *arguments).error


def test_a_saved_model_predicts_what_it_was_exported_from(model, served, photos, tmp_path):
    done = predict(served, tmp_path / "out", photos[0])
    assert done.status == 0, done.err
    expected = segment(model, load_image(photos[0]), CRFParams(iterations=2))
    found = load_label(tmp_path / "out" / "one.png", LABELS.num_classes)
    assert np.mean(found == expected) > 0.999


def test_a_saved_model_has_its_settings_inside(served, photos, tmp_path):
    for flag in ("--flip", BFLOAT16):
        error = predict(served, tmp_path / "out", flag, photos[0]).error
        assert f"{flag.split('=')[0]} has no effect: " in error and "export it again" in error
    error = predict(served, tmp_path / "out", "--tile=99", photos[0]).error
    assert "--tile has no effect on an exported network" in error and "give a .keras model" in error
    for flag in ("--crf", "--crf_w1=5", "--crf_params=x.json", "--crf_max_memory=1"):
        error = predict(served, tmp_path / "out", flag, photos[0]).error
        assert "served applies the CRF itself, with the parameters of its export" in error
    assert not (tmp_path / "out").exists()


def test_a_foreign_saved_model(photos, tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "served"))
    error = predict(tmp_path / "served", tmp_path / "out", photos[0]).error
    assert "not a network that the export command wrote, or damaged (it has no " in error


def test_a_picture_of_all_images(model, model_dir, photos, tmp_path):
    """Image, overlay before and after the CRF; without --crf only one overlay."""
    image = load_image(photos[0])
    params = CRFParams(w1=5, sigma_alpha=20, sigma_beta=15, iterations=2)
    crf = ["--crf", "--crf_w1=5", "--crf_sigma_alpha=20", "--crf_sigma_beta=15"]
    for flags, steps in (([], [None]), ([*crf, "--crf_iterations=2"], [None, params])):
        panel = tmp_path / "new" / f"panel{len(flags)}.png"
        done = predict(model_dir, tmp_path / "out", f"--panel_out={panel}", *flags, *photos)
        assert done.status == 0, done.err
        assert f"wrote {panel}, " in done.out
        rows = [photograph_row(image, [segment(model, image, each) for each in steps], LABELS, 0.6)]
        pictures, _ = rows[0]
        found, left, top = read_rgb(panel), 6, 22 + 6
        for picture in pictures:  # the first row; a column is as wide as its widest picture, 61
            np.testing.assert_array_equal(found[top : top + 40, left : left + 61], picture)
            left += 61 + 6
        assert found.shape[0] > 22 + 2 * (6 + 40)
    one = tmp_path / "one_row.png"
    predict(model_dir, tmp_path / "out", f"--panel_out={one}", "--panel_rows=1", *photos)
    both = read_rgb(tmp_path / "new" / "panel0.png")
    assert read_rgb(one).shape[0] == both.shape[0] - (41 + 6)


def test_a_picture_in_the_way(model_dir, photos, tmp_path):
    out = tmp_path / "out"
    for path in (photos[0], out / "one_overlay.png"):
        done = predict(model_dir, out, f"--panel_out={path}", photos[0])
        assert f"--panel_out={path}: is also an image or the result of one" in done.error
    assert "is a folder" in predict(model_dir, out, f"--panel_out={tmp_path}", photos[0]).error
