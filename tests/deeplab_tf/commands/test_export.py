import cv2
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model
from tool_runner import run_tool

from deeplab_tf import load_model
from deeplab_tf.data.image_files import load_label
from deeplab_tf.evaluation import segment
from deeplab_tf.export import load_description
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FLAGS = ["--crf", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=2", "--flip"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model().save(folder / "best.keras")
    LabelSet.generic(4).save(folder / "labels.json")
    return folder


def export(model_dir, out, *flags):
    return run_tool("export", f"--model={model_dir}", f"--out={out}", *flags)


def test_the_export_serves_what_predict_writes(model_dir, tmp_path):
    out, photo = tmp_path / "served", tmp_path / "photo.jpg"
    done = export(model_dir, out, *FLAGS)
    assert done.status == 0, done.err
    load = f"tf.saved_model.load('{out}').signatures['uint8'](images=images)"
    assert done.out.splitlines() == [
        f"SavedModel: {out}",
        f"in TensorFlow: {load}",
        f"next: deeplab-tf predict --model={out} --out_dir={out}_predictions IMAGE",
    ]
    cv2.imwrite(str(photo), blocks(90, 121))
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path}", *FLAGS, photo)
    assert done.status == 0, done.err
    serve = tf.saved_model.load(out).signatures["encoded"]
    served = serve(image_bytes=tf.constant([photo.read_bytes()]))["labels"][0].numpy()
    predicted = load_label(tmp_path / "photo.png", 4)
    assert (served == predicted).mean() >= 0.999
    assert len(np.unique(predicted)) > 1
    assert LabelSet.load(out / "assets" / "labels.json") == LabelSet.generic(4)


def test_one_size(model_dir, tmp_path):
    limits = ["--crf_prune_below=1", "--crf_max_memory=0.5"]
    done = export(model_dir, tmp_path / "served", "--image_size=40x56", *FLAGS, *limits)
    assert done.status == 0, done.err
    assert "converters to other formats reject; for them, export without" in done.out
    serve = tf.saved_model.load(tmp_path / "served").signatures["uint8"]
    assert serve.structured_input_signature[1]["images"].shape == (1, 40, 56, 3)
    # No class is certain anywhere, so that the CRF changes nothing: the limits have reached it.
    photo = blocks(40, 56)
    network = load_model(model_dir / "best.keras")
    wanted = segment(network, photo, flip=True, return_probabilities=True)
    assert wanted.max() < 1
    np.testing.assert_allclose(serve(images=photo[None])["probabilities"][0], wanted, atol=1e-4)


def test_overwrite_must_be_allowed(model_dir, tmp_path):
    (tmp_path / "mine").write_text("keep")
    assert "exists and is not empty" in export(model_dir, tmp_path).error
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert export(model_dir, tmp_path, "--overwrite").status == 0
    assert (tmp_path / "saved_model.pb").exists()


def test_a_new_version(model_dir, tmp_path):
    (tmp_path / "street" / "3").mkdir(parents=True)
    limits = "--max_pixels=9000", "--served_max_side=80"
    done = export(model_dir, tmp_path / "street", "--new_version", *limits)
    assert done.status == 0, done.err
    assert done.out.splitlines()[0] == f"SavedModel: {tmp_path / 'street' / '4'}"
    found = load_description(tmp_path / "street" / "4")
    assert found.limits == {"max_pixels": 9000, "max_side": 80}
    done = export(model_dir, tmp_path / "street", "--new_version", "--overwrite")
    assert "--overwrite has no effect: --new_version replaces nothing" in done.error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=nowhere"], "nowhere"),
        (["--crf", "--crf_w1=-1"], "w1"),
        (["--scales=x"], "--scales=x"),
        (["--image_size=513"], "--image_size=513: give HEIGHTxWIDTH in pixels"),
        (["--image_size=0x9"], "--image_size=0x9: give HEIGHTxWIDTH in pixels"),
        (["--max_pixels=0"], "--max_pixels"),
        (["--format=onnx", "--out=m.onnx", "--max_pixels=9"], "is for the format saved_model, not"),
        (["stray"], "unexpected argument 'stray'"),
        (["--crf_prune_below=0.1"], "--crf_prune_below has no effect without --crf; add --crf"),
        (["--crf_engine=xla"], "--crf_engine has no effect without --crf"),
        (["--crf_max_memory=1"], "--crf_max_memory has no effect without --crf"),
        (["--crf", "--crf_max_memory=1", "--crf_engine=xla"], "'xla' cannot work in strips"),
        (["--crf", "--crf_prune_below=1", "--out=m.onnx"], "--crf_prune_below is for SavedModels"),
    ],
)
def test_bad_input_is_one_clear_line(model_dir, tmp_path, flags, message):
    assert message in export(model_dir, tmp_path / "served", *flags).error
    assert list(tmp_path.iterdir()) == []
