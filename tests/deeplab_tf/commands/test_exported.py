"""Commands that run what `export` wrote."""

import json

import cv2
import numpy as np
import pytest
from exported import ENDINGS, need, need_quantizer
from tiny_model import blocks
from tool_runner import run_tool

from crf import CRFParams
from crf.search import SearchGrid
from deeplab_tf import segment
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set
from deeplab_tf.evaluation.probability_files import load_probabilities
from deeplab_tf.export import export_model, export_saved_model, load_description, open_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning"),
]

CRF = ["--crf", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=1"]
PARAMS = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=2, num_val=3, size=(128, 128))
    return folder


@pytest.fixture(scope="module")
def served(model, data_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "served"
    export_saved_model(model, path, read_label_set(data_dir), suited_crf=PARAMS, max_side=60)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), blocks(50, 90)[..., ::-1])
    return path


def scores_of(tmp_path, model, data_dir, *flags):
    out = tmp_path / "scores.json"
    out.unlink(missing_ok=True)
    flags = [f"--model={model}", f"--data_dir={data_dir}", f"--json_out={out}", *flags]
    done = run_tool("evaluate", *flags)
    assert done.status == 0, done.err
    return json.loads(out.read_text()), done.out


def test_evaluate_gives_the_scores_of_the_network(model_dir, served, data_dir, tmp_path):
    expected, _ = scores_of(tmp_path, model_dir, data_dir, *CRF)
    found, out = scores_of(tmp_path, served, data_dir, "--crf")  # with the parameters along
    assert found["miou"] == pytest.approx(expected["miou"], abs=1e-4)
    assert found["crf"]["miou"] == pytest.approx(expected["crf"]["miou"], abs=1e-4)
    assert found["crf"]["miou"] != found["miou"]
    assert f"from {served}: --crf_w1=4 --crf_sigma_alpha=20" in out


def test_predict_takes_what_came_along(model, served, photo, tmp_path):
    done = run_tool("predict", f"--model={served}", "--crf", f"--out_dir={tmp_path}/o", photo)
    assert done.status == 0, done.err
    assert f"from {served}: --max_side=60" in done.out
    expected = segment(model, blocks(50, 90), PARAMS, max_side=60)
    found = load_label(tmp_path / "o" / "photo.png", model.output_shape[-1])
    assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("format", ["saved_model", *ENDINGS])
def test_every_output_of_predict(model, data_dir, photo, format, tmp_path):
    path = tmp_path / "runs" / f"net.v2{ENDINGS.get(format, '')}"
    if format in ENDINGS:
        need(format)
    export_model(model, path, read_label_set(data_dir), suited_crf=PARAMS)
    outputs = ["--side_by_side", "--class_maps=background", f"--probabilities_out={tmp_path}/p"]
    outputs += [f"--contact_sheet_out={tmp_path}/sheet.html", f"--out_dir={tmp_path}/o"]
    for crf, params in (([], None), (["--crf"], PARAMS)):
        done = run_tool("predict", f"--model={path}", *outputs, *crf, photo)
        assert done.status == 0, done.err
        found, _, source = load_probabilities(tmp_path / "p" / "photo.npz")
        assert source == ("crf" if crf else "network")
        expected = segment(model, blocks(50, 90), params, return_probabilities=True)
        assert np.abs(found - expected).mean() < 1e-4
        names = {file.name for file in (tmp_path / "o").iterdir()}
        ends = ("", "_overlay", "_side_by_side", "_map_background")
        assert names == {f"photo{end}.png" for end in ends}
    assert "Labels by net.v2" in (tmp_path / "sheet.html").read_text("utf-8")
    done = run_tool("predict", f"--model={path}", *outputs, *crf, "--crf_max_memory=1e-4", photo)
    assert "refine: max_memory is 0.0001 GB, but strips" in done.error


def test_memory_is_for_the_crf(served, photo, tmp_path):
    flags = [f"--model={served}", f"--out_dir={tmp_path}/o", "--crf_max_memory=0.5"]
    error = run_tool("predict", *flags, photo).error
    assert "--crf_max_memory has no effect without --crf; add --crf" in error
    assert not (tmp_path / "o").exists()


def test_explain_crf(served, photo, tmp_path):
    flags = [f"--model={served}", f"--out_dir={tmp_path}", "--probabilities_after=1"]
    flags += [f"--values_{name}=1" for name in SearchGrid.names()]
    done = run_tool("explain_crf", *flags, photo)
    assert done.status == 0, done.err
    assert f"from {served}: --crf_w1=4 --crf_sigma_alpha=20" in done.out
    assert {file.name for file in tmp_path.iterdir()} == {
        "photo_iterations.png",
        "photo_parameters.png",
        "photo.png",
    }


def test_a_search(served, data_dir, tmp_path):
    flags = ["--grid_w1=3,6", "--grid_sigma_alpha=20", "--grid_sigma_beta=15", "--rounds=0"]
    flags += [f"--model={served}", f"--data_dir={data_dir}", "--crf_iterations=1"]
    done = run_tool("search_crf", *flags, f"--out_dir={tmp_path}")
    assert done.status == 0, done.err
    assert len(json.loads((tmp_path / "search.json").read_text())["points"]) == 2


@pytest.mark.slow
def test_a_crf_inside_is_not_repeated(model, data_dir, tmp_path):
    label_set = read_label_set(data_dir)
    export_saved_model(model, tmp_path / "served", label_set, PARAMS)
    flags = [f"--model={tmp_path}/served", f"--data_dir={data_dir}"]
    inside, _ = scores_of(tmp_path, tmp_path / "served", data_dir)
    assert "crf" not in inside or inside["crf"] is None
    for command, more in (("evaluate", "--crf"), ("search_crf", f"--out_dir={tmp_path}/r")):
        error = run_tool(command, *flags, more).error
        assert "served applies the CRF itself, with the parameters of its export" in error


def test_images_have_to_be_named(served):
    error = run_tool("evaluate", f"--model={served}").error
    assert f"--data_dir is required: {served} is an exported network, which comes without" in error


def test_only_trained_networks_are_exported(served, tmp_path):
    error = run_tool("export", f"--model={served}", f"--out={tmp_path}/m.onnx").error
    assert "served is a SavedModel, which `deeplab-tf predict`, evaluate" in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out=m.xml", "--int8"], "--int8 needs --calibration_data=FOLDER"),
        (["--out=m.xml", "--calibration_data=x"], "--calibration_data has no effect without --in"),
        (["--out=m.onnx", "--int8"], "--int8: is for the formats openvino and litert, not onnx"),
        (["--out=m.xml", "--int8", "--calibration_data=x"], "calibration_data=x: no such folder"),
        (["--out=m.xml", "--int8", "--calibration_data=."], "neither a data set nor a folder of"),
        (["--out=m.tflite", "--int8_except=a"], "--int8_except has no effect without --int8; add"),
        (["--out=m.xml", "--int8_except=a"], "--int8_except: is for the format litert, not openv"),
        (["--out=m.onnx", "--format=litert"], "for the format litert, give a name that ends in"),
    ],
)
def test_flags_that_do_not_fit(model_dir, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in run_tool("export", f"--model={model_dir}", *flags).error
    assert not list(tmp_path.iterdir())


def test_a_file(model_dir, model, data_dir, tmp_path):
    need("onnx")
    out = tmp_path / "m.onnx"
    done = run_tool("export", f"--model={model_dir}", f"--out={out}", *CRF)
    assert done.status == 0, done.err
    predictions = f"--out_dir={tmp_path}/m_predictions IMAGE"
    assert done.out.splitlines()[-2:] == [
        f"wrote {out}",
        f"next: deeplab-tf predict --model={out} --crf {predictions}",
    ]
    expected, _ = scores_of(tmp_path, model_dir, data_dir, *CRF)
    found, printed = scores_of(tmp_path, out, data_dir, "--crf")
    assert "--crf_sigma_alpha=20 --crf_sigma_beta=15" in printed
    assert found["crf"]["miou"] == pytest.approx(expected["crf"]["miou"], abs=1e-4)
    error = run_tool("export", f"--model={model_dir}", f"--out={out}").error
    assert "m.onnx: exists; give another --out, or use --overwrite" in error


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_eight_bits_for_openvino(model_dir, model, data_dir, tmp_path):
    need_quantizer("openvino")
    out, more = tmp_path / "m.xml", [f"--calibration_data={data_dir}", "--calibration_images=2"]
    done = run_tool("export", f"--model={model_dir}", f"--out={out}", "--int8", *more)
    assert done.status == 0, done.err
    assert load_description(out).precision == "int8"
    image = blocks(70, 90)
    found, expected = (open_model(path).probabilities(image) for path in (out, model_dir))
    assert 0 < np.abs(found - expected).mean() < 0.05
    assert (segment(open_model(out), image) == segment(model, image)).mean() > 0.9


@pytest.mark.slow
def test_eight_bits_for_images_of_one_size(model_dir, model, data_dir, tmp_path):
    """Another size than that of the images to calibrate with."""
    need("litert")
    out, more = tmp_path / "m.tflite", [f"--calibration_data={data_dir}", "--int8"]
    size = "--image_size=96x128"
    done = run_tool("export", f"--model={model_dir}", f"--out={out}", *more, size)
    assert done.status == 0, done.err
    image = blocks(96, 128)
    assert (segment(open_model(out), image) == segment(model, image)).mean() > 0.9


@pytest.mark.slow
def test_eight_bits_of_a_training_list(model_dir, model, data_dir, tmp_path):
    need("litert")
    out, more = tmp_path / "m.tflite", [f"--calibration_data={data_dir}", "--int8"]
    done = run_tool("export", f"--model={model_dir}", f"--out={out}", *more)
    assert done.status == 0, done.err
    plain, _ = scores_of(tmp_path, model_dir, data_dir)
    found, _ = scores_of(tmp_path, out, data_dir)
    assert np.abs(found["miou"] - plain["miou"]) < 0.05
