from dataclasses import replace

import cv2
import numpy as np
import pytest
from tiny_model import blocks, random_model
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.data.image_files import load_image
from deeplab_tf.evaluation.inference import apply_crf, most_probable, predict_probabilities
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import colorize, colorize_probabilities, encode_picture

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = LabelSet(("a", "b", "c", "d"), ((200, 0, 0), (0, 150, 0), (0, 0, 250), (90, 90, 0)))
COLORS = LABELS.color_table()
# Wide enough for the captions, so that all cells have the images' size.
HEIGHT, WIDTH = 40, 176
KINDS = ("iterations", "parameters")
SHOWN = (1, 2, 5, 10)
WHITE = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
GIVEN = CRFParams(5, 20, 15, 2, 4, 3)
GIVEN_FLAGS = [
    "--crf_w1=5",
    "--crf_sigma_alpha=20",
    "--crf_sigma_beta=15",
    "--crf_w2=2",
    "--crf_sigma_gamma=4",
    "--crf_iterations=3",
]


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "best.keras")
    LABELS.save(folder / "labels.json")
    return folder


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.v2.png"]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), blocks(HEIGHT, WIDTH, seed=seed)[..., ::-1])
    return paths


def explain(model_dir, out_dir, *arguments):
    return run_tool("explain_crf", f"--model={model_dir}", f"--out_dir={out_dir}", *arguments)


def cells(path, columns):
    """The pictures of a table, rows after each other, without captions and legend."""
    picture = cv2.imread(str(path))[..., ::-1]
    # A line of text may be wider: the fonts depend on the version of OpenCV.
    assert picture.shape[1] >= 6 + columns * (WIDTH + 6)
    tops = range(6 + 22, picture.shape[0] - HEIGHT, HEIGHT + 22 + 6)
    lefts = [6 + column * (WIDTH + 6) for column in range(columns)]
    return [picture[t : t + HEIGHT, s : s + WIDTH] for t in tops for s in lefts]


def labels_picture(probabilities):
    return colorize(most_probable(probabilities), COLORS)


def assert_pictures(found, expected):
    for place, (cell, picture) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(cell, picture, err_msg=f"cell {place}")


def test_the_first_picture_shows_the_probabilities(model, model_dir, photos, tmp_path):
    done = explain(model_dir, tmp_path / "out", *GIVEN_FLAGS, *photos)
    assert done.status == 0, done.err
    assert "2/2" in done.err
    names = [f"{name}_{what}.png" for name in ("one", "two.v2") for what in KINDS]
    *_, wrote, following = done.out.splitlines()
    assert wrote == f"wrote {', '.join(str(tmp_path / 'out' / name) for name in names)}"
    assert following.startswith(f"next: deeplab-tf predict --model={model_dir} --crf_w1=")
    out_dir = f"--out_dir={model_dir / 'predictions'}"
    assert following.endswith(f" --crf {out_dir} {photos[0]} {photos[1]}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for path in photos:
        image = load_image(path)
        network = predict_probabilities(model, image)
        maps = [network]
        maps += [apply_crf(network, image, replace(GIVEN, iterations=n)) for n in SHOWN]
        expected = [image, *(colorize_probabilities(shown, COLORS) for shown in maps)]
        expected += [labels_picture(network), labels_picture(apply_crf(network, image, GIVEN))]
        found = cells(tmp_path / "out" / f"{path.stem}_iterations.png", columns=4)
        assert_pictures(found, expected)
        # All differ, or a cell in another's place would go unseen.
        assert len({encode_picture(picture) for picture in expected}) == len(expected)


def test_the_second_picture_has_a_row_for_each_parameter(model, model_dir, photos, tmp_path):
    out_dir = tmp_path / "out"
    done = explain(model_dir, out_dir, "--values_sigma_beta=3,30", *GIVEN_FLAGS, photos[0])
    assert done.status == 0, done.err
    image = load_image(photos[0])
    network = predict_probabilities(model, image)
    expected = [image, labels_picture(network), labels_picture(apply_crf(network, image, GIVEN))]
    expected += 2 * [WHITE]
    for name, values in {
        "w1": (0, 2.5, 5, 20, 80),
        "sigma_alpha": (5, 10, 20, 80, 320),
        "sigma_beta": (3, 30),
        "w2": (0, 1, 2, 8, 32),
        "sigma_gamma": (1, 2, 4, 16, 64),
    }.items():
        points = [replace(GIVEN, **{name: value}) for value in values]
        expected += [labels_picture(apply_crf(network, image, point)) for point in points]
        expected += (5 - len(points)) * [WHITE]
    found = cells(out_dir / "one_parameters.png", columns=5)
    assert_pictures(found, expected)
    distinct = {encode_picture(picture) for picture in found}
    assert len(distinct) > 15


@pytest.mark.parametrize(
    ("flags", "weights"),
    [
        (["--crf_w1=0"], [0]),
        (["--values_w1=2,4,2.0"], [2, 4]),
        (["--values_w1=0.0001,0.00010000001,900"], [1e-4, 1.0000001e-4, 900]),
    ],
)
def test_a_row_shows_each_value_once(model, model_dir, photos, tmp_path, flags, weights):
    fixed = [*GIVEN_FLAGS, "--values_w2=3"]
    fixed += [f"--values_sigma_{which}=9" for which in ("alpha", "beta", "gamma")]
    done = explain(model_dir, tmp_path / "out", *fixed, *flags, photos[0])
    assert done.status == 0, done.err
    image = load_image(photos[0])
    network = predict_probabilities(model, image)
    expected = [labels_picture(apply_crf(network, image, replace(GIVEN, w1=w1))) for w1 in weights]
    columns = 3
    found = cells(tmp_path / "out" / "one_parameters.png", columns)[columns : 2 * columns]
    assert_pictures(found, expected + (columns - len(expected)) * [WHITE])


def test_other_numbers_of_iterations(model, model_dir, photos, tmp_path):
    flags = ["--probabilities_after=0,4", *GIVEN_FLAGS, "--flip"]
    done = explain(model_dir, tmp_path / "out", *flags, photos[0])
    assert done.status == 0, done.err
    image = load_image(photos[0])
    network = predict_probabilities(model, image, flip=True)
    found = cells(tmp_path / "out" / "one_iterations.png", columns=4)
    after = apply_crf(network, image, replace(GIVEN, iterations=4))
    np.testing.assert_array_equal(found[3], colorize_probabilities(after, COLORS))
    np.testing.assert_array_equal(found[5], labels_picture(apply_crf(network, image, GIVEN)))


def test_parameters_from_a_file(model, model_dir, photos, tmp_path):
    compatibility = 1 - np.eye(4)
    compatibility[:, 0] = 0
    params = replace(GIVEN, compatibility=compatibility)
    params.save(tmp_path / "crf.json")
    flags = [f"--crf_params={tmp_path / 'crf.json'}", "--probabilities_after=1", "--values_w1=1"]
    done = explain(model_dir, tmp_path / "out", *flags, photos[0])
    assert done.status == 0, done.err
    image = load_image(photos[0])
    network = predict_probabilities(model, image)
    after = labels_picture(apply_crf(network, image, params))
    assert (after != labels_picture(apply_crf(network, image, GIVEN))).any()
    found = cells(tmp_path / "out" / "one_parameters.png", columns=5)
    np.testing.assert_array_equal(found[2], after)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no image is given"),
        (["gone.png"], "gone.png: no such image; check the path"),
        (["one.png", "other/one.png"], "is also that of"),
        (["--probabilities_after=1,two", "one.png"], "--probabilities_after=1,two: "),
        (
            ["--probabilities_after=-1", "one.png"],
            "--probabilities_after=-1: CRFParams: iterations must be",
        ),
        (["--values_w2=many", "one.png"], "--values_w2=many: "),
        (["--values_sigma_beta=3,0", "one.png"], "--values_sigma_beta=3,0: CRFParams: sigma_beta"),
        (
            ["--crf_w1=1e308", "one.png"],
            "--values_w1: multiples of w1 = 1e+308 are shown: CRFParams",
        ),
        (["--crf_sigma_beta=0.001", "one.png"], "choose larger sigmas"),
        (["--values_sigma_beta=0.001", "one.png"], "sigma_beta = 0.001: crf: "),
    ],
)
def test_bad_input_is_one_clear_line(model_dir, photos, tmp_path, flags, message):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "one.png").write_bytes(photos[0].read_bytes())
    arguments = [tmp_path / flag if flag.endswith(".png") else flag for flag in flags]
    assert message in explain(model_dir, tmp_path / "out", *arguments).error
    assert not (tmp_path / "out").exists()


def test_an_image_is_not_overwritten(model_dir, photos, tmp_path):
    second = tmp_path / "one_parameters.png"
    second.write_bytes(photos[1].read_bytes())
    assert "would replace an input" in explain(model_dir, tmp_path, photos[0], second).error
    assert second.read_bytes() == photos[1].read_bytes()
