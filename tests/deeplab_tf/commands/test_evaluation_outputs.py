"""evaluate: scores near borders, their plot, and the report's page."""

import json
import re
import shutil
import sys
from dataclasses import asdict

import numpy as np
import pytest
from tiny_model import random_model
from tiny_packed import CRF as CARD_CRF
from tiny_packed import NETWORK, pack_tiny, shipped, tiny_builder
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf import pretrained
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.evaluation import segment
from deeplab_tf.evaluation.result_scores import ResultScores

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

assert shipped and tiny_builder

CRF = ["--crf", "--crf_w1=10", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=2"]
PARAMS = CRFParams(w1=10, sigma_alpha=20, sigma_beta=15, iterations=2)
COUNT = 5


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=COUNT, size=(128, 150))
    return folder


@pytest.fixture
def evaluate(model_dir, data_dir):
    """A function that runs the command with more flags."""
    return lambda *flags: run_tool(
        "evaluate", f"--model={model_dir}", f"--data_dir={data_dir}", *flags
    )


def expected_scores(model, data_dir, border, params):
    label_set = read_label_set(data_dir)
    scores = ResultScores(label_set.num_classes, COUNT, border, calibration=True)
    for index, example in enumerate(read_split(data_dir, "val")):
        image, truth = load_pair(example, label_set.num_classes)
        probabilities = segment(model, image, crf=params, return_probabilities=True)
        labels = probabilities.argmax(axis=2).astype(np.uint8)
        scores.add(index, truth, labels, None, probabilities.max(axis=2))
    return scores


@pytest.mark.parametrize(("border", "params"), [("any", PARAMS), ("void", None)])
def test_report_and_json(model, data_dir, evaluate, tmp_path, border, params):
    folder, json_out = tmp_path / "new" / "report", tmp_path / "scores.json"
    files = f"--report_out={folder}", f"--json_out={json_out}"
    done = evaluate(*files, f"--trimap_border={border}", *(CRF if params else []))
    assert done.status == 0, done.err
    assert f"wrote {folder / 'index.html'}" in done.out
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["index.html", "trimap.png", "trimap.svg"]
    page, found = (folder / "index.html").read_text(), json.loads(json_out.read_text())
    results = {None: found, PARAMS: found.get("crf")}
    for crf in {None, params}:
        expected = expected_scores(model, data_dir, border, crf)
        scores = results[crf]
        # A last bit of rounding may turn single pixels.
        near = {"abs": 2e-3}
        assert scores["boundary_miou"] == pytest.approx(expected.boundary.miou, **near)
        assert scores["boundary_mean_f1"] == pytest.approx(expected.boundary.mean_f1, **near)
        trimap, calibration = expected.trimap.to_dict(), expected.calibration.to_dict()
        assert scores["trimap"]["border"] == border
        assert scores["trimap"]["pixels"] == trimap["pixels"]
        for name in ("miou", "pixel_accuracy"):
            assert scores["trimap"][name] == pytest.approx(trimap[name], **near)
        error = scores["calibration"]["expected_calibration_error"]
        assert error == pytest.approx(calibration["expected_calibration_error"], **near)
        assert f"{100 * scores['boundary_miou']:.1f}" in page
    assert ("crf" in found) == bool(params)
    command = re.search("<pre>(.*)</pre>", page)[1]
    assert f"--report_out={folder}" in command and f"--trimap_border={border}" in command
    assert page.count("<article") >= 3


def test_tables_and_plot_of_trimaps(evaluate, model_dir):
    done = evaluate("--trimap", *CRF)
    plots = [model_dir / f"trimap.{kind}" for kind in ("svg", "png")]
    assert done.status == 0, done.err
    assert f"wrote {plots[0]}, {plots[1]}\n" in done.out
    heads = [plot.read_bytes()[:4] for plot in plots]
    assert heads == [b"<?xm", b"\x89PNG"]
    for plot in plots:
        plot.unlink()
    lines = done.out.splitlines()
    (head,) = [line for line in lines if line.startswith("from a border")]
    assert head.split()[3:] == ["mean", "IoU", "pixel", "accuracy"]
    assert sum(line.startswith("up to ") for line in lines) == 7
    (mean,) = [line.split() for line in lines if line.startswith("mean  ")]
    assert len(mean) == 5  # boundary IoU and F1, before and after


def test_the_plot_gets_the_name_that_is_given(evaluate, tmp_path):
    done = evaluate("--trimap", f"--trimap_out={tmp_path / 'new' / 'v1.5.png'}", "--limit=1")
    assert done.status == 0, done.err
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"v1.5.svg", "v1.5.png"}


def settings_of(page):
    """The table of the settings, {name: value}."""
    rows = r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td></tr>'
    return dict(re.findall(rows, page.read_text()))


@pytest.fixture
def squares(shipped, data_dir):
    """A function that runs the command with a network of the package that has these classes."""
    label_set = read_label_set(data_dir)
    count = label_set.num_classes
    card = {"network": {**NETWORK, "num_classes": count}, "classes": asdict(label_set)}
    file = pack_tiny(shipped / "squares.npz", random_model(count), crf=CARD_CRF, **card)
    pretrained.record_sum(file)
    given = f"--data_dir={data_dir}", "--limit=1"
    return lambda *flags, model="squares": run_tool("evaluate", f"--model={model}", *given, *flags)


def test_the_page_of_a_network_of_the_package(squares, data_dir, tmp_path):
    done = squares("--report_out=r", "--crf", "--crf_w2=5", "--flip", "--scales=1,0.5")
    assert done.status == 0, done.err
    found = settings_of(tmp_path / "r" / "index.html")
    assert f"<title>squares on {data_dir.name}, val<" in (tmp_path / "r/index.html").read_text()
    used = {**CARD_CRF, "w2": 5, "sigma_gamma": 3, "normalization": "symmetric"}
    for name, value in used.items():
        shown = found[f"crf_{name}"]
        assert shown == value if isinstance(value, str) else float(shown) == value
    assert (found["crf"], found["flip"], found["scales"]) == ("yes", "yes", "1, 0.5")
    assert (found["tile"], found["precision"], found["images"]) == (
        "default",
        "default",
        "1 of val",
    )


def test_the_page_lists_the_parameters_of_the_file(squares, data_dir, tmp_path):
    costs = np.eye(read_label_set(data_dir).num_classes).tolist()
    CRFParams(w1=1, sigma_alpha=9, iterations=0, compatibility=costs).save("own.json")
    done = squares("--report_out=r", "--crf", "--crf_params=own.json", "--output_stride=8")
    assert done.status == 0, done.err
    found = settings_of(tmp_path / "r" / "index.html")
    shown = {name: float(found[f"crf_{name}"]) for name in ("w1", "sigma_alpha", "iterations")}
    assert shown == {"w1": 1, "sigma_alpha": 9, "iterations": 0}  # 1 and 0 are no "yes" and "no"
    assert found["crf_compatibility"] == "learned"
    assert found["output_stride"] == "8"


@pytest.mark.parametrize("model", ["squares", "package/squares.npz"])
def test_the_plot_of_a_packed_network(squares, shipped, tmp_path, model):
    before = {path.name for path in tmp_path.iterdir()}
    done = squares("--trimap", model=model)
    assert done.status == 0, done.err
    plots = {"squares_trimap.svg", "squares_trimap.png"}
    if model == "squares":
        assert {path.name for path in tmp_path.iterdir()} - before == plots
    else:
        assert {path.name for path in tmp_path.iterdir()} == before
        assert (shipped / "trimap.svg").is_file() and (shipped / "trimap.png").is_file()


def test_a_report_is_replaced_only_if_wanted(evaluate, tmp_path):
    (tmp_path / "index.html").write_text("old")
    error = evaluate(f"--report_out={tmp_path}").error
    assert f"{tmp_path}: exists and is not empty; delete it or use --overwrite" in error
    assert (tmp_path / "index.html").read_text() == "old"
    done = evaluate(f"--report_out={tmp_path}", "--overwrite", "--limit=1")
    assert done.status == 0, done.err
    assert (tmp_path / "index.html").read_text().startswith("<!DOCTYPE html>")


def test_a_missing_package_is_named_before_the_work(evaluate, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as if it were not installed
    done = evaluate(f"--report_out={tmp_path / 'new'}")
    assert done.error == (
        "error: --report_out needs the Python package Jinja2, which is not installed: pip install "
        "jinja2, or install DeepLab with its extra [report]"
    )
    assert "image/s" not in done.err and done.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trimap_border=void"], "--trimap_border has no effect without --trimap; add it"),
        (["--trimap_out=x"], "--trimap_out has no effect without --trimap; add it"),
        (["--trimap", "--trimap_border=classes"], "--trimap_border"),
        (
            ["--overwrite"],
            "--overwrite has no effect without --predictions_out or --report_out; add one of them",
        ),
    ],
)
def test_flags_that_do_not_fit_together(evaluate, flags, message):
    assert message in evaluate(*flags).error


@pytest.mark.parametrize("flag", ["trimap", "report_out"])
def test_without_labels_there_is_nothing_to_report(evaluate, data_dir, tmp_path, flag):
    folder = shutil.copytree(data_dir, tmp_path / "data")
    shutil.rmtree(folder / "SegmentationClass")
    value = f"={tmp_path / 'report'}" if flag == "report_out" else ""
    given = [f"--data_dir={folder}", f"--predictions_out={tmp_path / 'out'}", f"--{flag}{value}"]
    assert f"--{flag}: the images of val have no labels; leave it out" in evaluate(*given).error
