"""The commands on a data set of color and depth, from its check to an exported network."""

import json

import cv2
import numpy as np
import pytest
from tiny_flags import TINY
from tiny_model import blocks, random_model
from tool_runner import run_tool

import deeplab_tf
from crf import CRFParams
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_png import encode_label

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CRF = ["--crf", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=2"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Images of color and depth in VOC layout; the class is whether the depth is large."""
    folder = tmp_path_factory.mktemp("rgbd")
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for split, seeds in (("train", range(4)), ("val", range(4, 6))):
        for seed in seeds:
            depth = blocks(70, 90, cell=40, seed=seed)[..., :1]
            image = np.concatenate([blocks(70, 90, seed=seed + 10), depth], axis=-1)
            np.save(folder / "JPEGImages" / f"{seed}.npy", image)
            label = encode_label((depth[..., 0] > 127).astype(np.uint8))
            (folder / "SegmentationClass" / f"{seed}.png").write_bytes(label)
        names = "".join(f"{seed}\n" for seed in seeds)
        (folder / "ImageSets/Segmentation" / f"{split}.txt").write_text(names)
    (folder / "classes.txt").write_text("near\nfar\n")
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model(2, channels=4).save(folder / "best.keras")
    return folder


def test_check_names_a_training_with_as_many_channels(data_dir):
    done = run_tool("check-data", f"--data_dir={data_dir}", "--channels=4")
    assert done.out.splitlines()[-1].endswith(" --channels=4")


@pytest.mark.slow
def test_train(data_dir, tmp_path):
    flags = [*TINY, f"--data_dir={data_dir}", f"--model_dir={tmp_path}", "--steps=1"]
    done = run_tool("train", *flags, "--backbone=mobilenet", "--jitter=0.4", "--channels=4")
    assert done.status == 0, done.err
    assert deeplab_tf.load_model(tmp_path).input_shape == (None, None, None, 4)


def predict(model, out_dir, *arguments):
    done = run_tool("predict", f"--model={model}", f"--out_dir={out_dir}", *arguments)
    assert done.status == 0, done.err
    return load_label(out_dir / "4.png", 2)


@pytest.mark.slow
def test_predict_and_export(data_dir, model_dir, tmp_path):
    path = data_dir / "JPEGImages" / "4.npy"
    label = predict(model_dir, tmp_path / "a", *CRF, path)
    params = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=2)
    model = deeplab_tf.load_model(model_dir)
    np.testing.assert_array_equal(label, deeplab_tf.segment(model, np.load(path), params))
    assert (tmp_path / "a" / "4_overlay.png").exists()
    done = run_tool("export", f"--model={model_dir}", f"--out={tmp_path / 'served'}", *CRF)
    assert done.status == 0, done.err
    assert (predict(tmp_path / "served", tmp_path / "b", path) == label).mean() > 0.999


def test_evaluate(data_dir, model_dir, tmp_path):
    files = [f"--json_out={tmp_path / 'a.json'}", f"--panel_out={tmp_path / 'a.png'}"]
    done = run_tool("evaluate", f"--model={model_dir}", f"--data_dir={data_dir}", *CRF, *files)
    assert done.status == 0, done.err
    assert 0 <= json.loads((tmp_path / "a.json").read_text())["crf"]["miou"] <= 1
    assert (tmp_path / "a.png").exists()


def test_the_crf_commands(data_dir, model_dir, tmp_path):
    flags = ["--split=val", "--rounds=0", "--grid_w1=4,5", "--grid_sigma_alpha=20"]
    flags += ["--grid_sigma_beta=15", f"--out_dir={tmp_path / 'search'}"]
    done = run_tool("search-crf", f"--model={model_dir}", f"--data_dir={data_dir}", *flags)
    assert done.status == 0, done.err
    values = [f"--values_{name}=3" for name in ("w1", "w2", "sigma_alpha", "sigma_beta")]
    values += [
        "--values_sigma_gamma=3",
        "--probabilities_after=1",
        f"--out_dir={tmp_path / 'explained'}",
    ]
    path = data_dir / "JPEGImages" / "4.npy"
    done = run_tool("explain-crf", f"--model={model_dir}", *values, path)
    assert done.status == 0, done.err
    assert (tmp_path / "explained" / "4_parameters.png").exists()


def test_check_data(data_dir, tmp_path):
    done = run_tool("check-data", f"--data_dir={data_dir}", "--channels=4")
    assert done.status == 0, done.out + done.err
    assert done.out.splitlines()[-1].endswith("--channels=4")  # the next command needs it, too
    picture = tmp_path / "a.png"
    done = run_tool("check-data", f"--data_dir={data_dir}", f"--picture_out={picture}")
    assert done.status == 1 and "4 channels, but 3 are needed" in done.out
    shown = cv2.imread(str(picture))[..., ::-1].reshape(-1, 3)
    color = np.load(data_dir / "JPEGImages" / "0.npy")[0, 0, :3]
    assert (shown == color).all(axis=-1).any()  # the picture shows the image all the same


def test_images_of_other_channels_are_refused(data_dir, model_dir, tmp_path):
    flags = [*TINY, f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'm'}", "--steps=2"]
    error = run_tool("train", *flags, "--channels=6").error
    assert "4 channels, but 6 are needed" in error and ".npy" in error
    error = run_tool("train", *flags).error
    assert "4 channels, but 3 are needed" in error and "--channels=4" in error
    assert not (tmp_path / "m").exists()
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), blocks(20, 30))
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'o'}", photo)
    assert f"{photo}: " in done.error and "3 channels, but 4 are needed" in done.error
