import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from absl.flags import FlagValues
from tiny_model import random_model
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf.commands import search_crf
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.evaluation import ConfusionMatrix, crf_search, segment
from deeplab_tf.files import lock_folder

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GRID = ["--grid_w1=3,6", "--grid_sigma_alpha=20", "--grid_sigma_beta=15", "--crf_iterations=1"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=3, size=(128, 128))
    return folder


@pytest.fixture
def crf_calls(monkeypatch):
    """The points that the CRF is run with, image after image; the CRF itself runs as ever."""
    calls, real = [], crf_search.dense_crf

    def spy(probabilities, images, params, num_threads):
        calls.append(params)
        return real(probabilities, images, params, num_threads=num_threads)

    monkeypatch.setattr(crf_search, "dense_crf", spy)
    return calls


def search(model_dir, data_dir, out_dir, *more):
    flags = [f"--model={model_dir}", f"--data_dir={data_dir}", f"--out_dir={out_dir}", *GRID]
    return run_tool("search_crf", *flags, "--limit=2", "--rounds=1", *more)


def test_a_second_search_in_the_same_folder_is_refused(model_dir, data_dir, tmp_path):
    with lock_folder(tmp_path, "another search"):
        error = search(model_dir, data_dir, tmp_path).error
    assert f"{tmp_path} is in use by another search (process " in error
    assert error.endswith("): wait until it ends, or give another --out_dir")
    assert list(tmp_path.iterdir()) == []


def expected_miou(model, data_dir, params, names=slice(2)):
    label_set = read_label_set(data_dir)
    confusion = ConfusionMatrix(label_set.num_classes)
    for example in read_split(data_dir, "val")[names]:
        image, truth = load_pair(example, label_set.num_classes)
        confusion.add(truth, segment(model, image, params))
    return confusion.miou


def read_scores(out_dir):
    points = json.loads((out_dir / "search.json").read_text())["points"]
    return {point["w1"]: point["miou"] for point in points}


def test_a_search_and_what_it_writes(model, model_dir, data_dir, tmp_path, crf_calls):
    out_dir = tmp_path / "new" / "out"
    done = search(model_dir, data_dir, out_dir)
    assert done.status == 0, done.err
    scores = read_scores(out_dir)
    best = max(scores, key=scores.get)
    coarse = max((3, 6), key=scores.get)
    assert list(scores) == [3, 6, coarse - 1.5, coarse + 1.5]  # half of the gap of 3
    tried = [params.w1 for params in crf_calls]
    # Within a round, threads begin in any order.
    assert sorted(tried[:4]) == [3, 3, 6, 6]
    assert sorted(tried[4:]) == [w1 for w1 in list(scores)[2:] for _ in range(2)]
    for w1, miou in scores.items():
        params = CRFParams(w1=w1, sigma_alpha=20, sigma_beta=15, iterations=1)
        assert miou == pytest.approx(expected_miou(model, data_dir, params), abs=2e-4)
    before = expected_miou(model, data_dir, None)
    assert abs(scores[best] - before) > 2e-3
    assert "2/2" in done.err and "4/4" in done.err and "2 points" in done.err
    assert f"{scores[best]:.4f} with it" in done.out
    assert f"{scores[best] - before:+.3f}"[:-1] in done.out
    table = [line.split() for line in done.out.splitlines() if line.endswith(tuple("0123456789"))]
    assert table[0][:2] == [f"{best:g}", "20"]
    assert cv2.imread(str(out_dir / "search.png")).shape[0] > 4 * 90
    assert len(list((out_dir / "probabilities").iterdir())) == 2
    assert sorted(path.name for path in out_dir.iterdir()) == [
        *("best_crf.flags", "probabilities", "search.json", "search.png")
    ]


def test_evaluate_takes_the_flagfile(model, model_dir, data_dir, tmp_path):
    out_dir, json_out = tmp_path / "out", tmp_path / "scores.json"
    assert search(model_dir, data_dir, out_dir, "--grid_w1=9").status == 0
    flagfile = out_dir / "best_crf.flags"
    comments = [line for line in flagfile.read_text().splitlines() if line.startswith("#")]
    assert "--grid_w1=9" in comments[1] and "on 2 images of val" in comments[2]
    done = run_tool(
        "evaluate",
        f"--model={model_dir}",
        f"--data_dir={data_dir}",
        "--skip=2",
        f"--flagfile={flagfile}",
        f"--json_out={json_out}",
    )
    assert done.status == 0, done.err
    params = CRFParams(w1=9, sigma_alpha=20, sigma_beta=15, iterations=1)
    expected = expected_miou(model, data_dir, params, slice(2, None))
    assert json.loads(json_out.read_text())["crf"]["miou"] == pytest.approx(expected, abs=2e-4)


def test_a_stopped_search_goes_on_where_it_was(
    model_dir, data_dir, tmp_path, crf_calls, monkeypatch
):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    assert search(model_dir, data_dir, whole).status == 0
    write, written = crf_search.write_file, []

    def stop_at_third(path, contents):
        if path.name == "search.json":
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(path)
        write(path, contents)

    with monkeypatch.context() as context:
        context.setattr(crf_search, "write_file", stop_at_third)
        assert "interrupted" in search(model_dir, data_dir, stopped).error
    assert list(read_scores(stopped)) == [3, 6]
    assert not (stopped / "best_crf.flags").exists()
    crf_calls.clear()
    monkeypatch.setattr("deeplab_tf.commands.search_crf.predict_probabilities", pytest.fail)
    again = search(model_dir, data_dir, stopped)
    assert again.status == 0, again.err
    assert len(crf_calls) == 2 * 2
    assert read_scores(stopped) == read_scores(whole)
    assert (stopped / "search.png").read_bytes() == (whole / "search.png").read_bytes()


def test_a_stopped_search_leaves_no_result_of_an_earlier_one(
    model_dir, data_dir, tmp_path, monkeypatch
):
    assert search(model_dir, data_dir, tmp_path, "--rounds=0", "--limit=1").status == 0
    assert (tmp_path / "best_crf.flags").exists() and (tmp_path / "search.png").exists()

    write = crf_search.write_file

    def stop(path, contents):
        if path.name == "search.json":
            raise KeyboardInterrupt
        write(path, contents)

    monkeypatch.setattr(crf_search, "write_file", stop)
    done = search(model_dir, data_dir, tmp_path, "--rounds=0", "--limit=1", "--grid_w1=8,9")
    assert "interrupted" in done.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probabilities", "search.json"]


@pytest.mark.parametrize(("flags", "count"), [([], 3), (["--threads=2"], 2)])
def test_number_of_threads(model_dir, data_dir, tmp_path, monkeypatch, flags, count):
    seen = []

    class Executor(ThreadPoolExecutor):
        def __init__(self, max_workers):
            seen.append(max_workers)
            super().__init__(max_workers)

    monkeypatch.setattr(crf_search, "ThreadPoolExecutor", Executor)
    monkeypatch.setattr("deeplab_tf.commands.search_crf.available_threads", lambda: 3)
    done = search(model_dir, data_dir, tmp_path, "--rounds=0", "--limit=1", *flags)
    assert done.status == 0, done.err
    assert set(seen) == {count}


def test_settings_reach_the_network(model, model_dir, data_dir, tmp_path):
    done = search(
        model_dir,
        data_dir,
        tmp_path,
        *("--rounds=0", "--grid_w1=0", "--grid_w2=0", "--limit=1"),
        *("--scales=1,0.5", "--flip", "--tile=40", "--pad_to=65", "--threads=1"),
    )
    assert done.status == 0, done.err
    label_set = read_label_set(data_dir)
    image, truth = load_pair(read_split(data_dir, "val")[0], label_set.num_classes)
    settings = {"scales": (1, 0.5), "flip": True, "tile": 40, "pad_to": 65}
    confusion, plain = (ConfusionMatrix(label_set.num_classes) for _ in range(2))
    confusion.add(truth, segment(model, image, **settings))
    plain.add(truth, segment(model, image))
    assert read_scores(tmp_path)[0] == pytest.approx(confusion.miou, abs=2e-4)
    assert abs(plain.miou - confusion.miou) > 1e-3


def test_the_ends_of_the_grid_are_told(model_dir, data_dir, tmp_path):
    done = search(model_dir, data_dir, tmp_path, "--rounds=0", "--limit=1")
    assert "The best w1 is at an end of its grid; widen the grid with --grid_w1=" in done.out
    assert "The best sigma_alpha" not in done.out


def test_another_search_in_the_folder_is_kept(model_dir, data_dir, tmp_path):
    assert search(model_dir, data_dir, tmp_path, "--rounds=0").status == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for change, what in (("--limit=1", "images"), ("--flip", "settings")):
        done = search(model_dir, data_dir, tmp_path, change)
        assert f"search.json: belongs to another search, which differs in {what}" in done.error
    other = random_model(read_label_set(data_dir).num_classes, output_stride=16)
    other.save(tmp_path / "other.keras")
    done = search(tmp_path / "other.keras", data_dir, tmp_path)
    assert "belongs to another search, which differs in model; delete it" in done.error
    (tmp_path / "other.keras").unlink()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_another_grid_goes_on_from_the_points_that_are_known(
    model_dir, data_dir, tmp_path, crf_calls
):
    assert search(model_dir, data_dir, tmp_path, "--rounds=0").status == 0
    crf_calls.clear()
    assert search(model_dir, data_dir, tmp_path, "--rounds=0", "--grid_w1=6,8").status == 0
    assert {params.w1 for params in crf_calls} == {8}
    assert list(read_scores(tmp_path)) == [3, 6, 8]
    # The result is of this grid alone.
    assert "--crf_w1=3\n" not in (tmp_path / "best_crf.flags").read_text()


def test_a_limit_above_the_number_of_images_takes_them_all(model_dir, data_dir, tmp_path):
    done = search(model_dir, data_dir, tmp_path, "--rounds=0", "--limit=50")
    assert "--limit=50: val has 3 images; all are used" in done.out
    assert "warning: the best of many points on 3 images may fit only these images" in done.out
    assert "mean IoU on 3 images of val" in done.out


@pytest.mark.parametrize(
    ("count", "given", "points", "rounds"),
    [
        (49, [], 16, 1),
        (50, [], 128, 2),
        (49, ["--rounds=3"], 16, 3),
        (49, ["--grid=v2"], 128, 1),
        (49, ["--grid_sigma_alpha=30,40,50"], 48, 1),
        (50, ["--rounds=0", "--grid=v1"], 288, 0),
    ],
)
def test_few_images_get_few_points_unless_flags_say_more(count, given, points, rounds, capsys):
    values = FlagValues()
    search_crf.define_flags(values)
    parse_flags(values, ["--model=M", "--data_dir=D", "--out_dir=O", *given])
    grid, tried = search_crf.search_effort(values, search_crf.search_grid(values), count)
    assert (len(grid.points()), tried) == (points, rounds)
    assert ("few images: 16 coarse points" in capsys.readouterr().out) == (points == 16)


def test_number_of_classes_must_agree(data_dir, tmp_path):
    random_model(VOC.num_classes).save(tmp_path / "best.keras")
    done = search(tmp_path, data_dir, tmp_path / "out")
    assert "has 21 classes but the data set" in done.error
    assert not (tmp_path / "out").exists()


def test_an_empty_list_is_one_clear_line(model_dir, data_dir, tmp_path):
    copy = tmp_path / "copy"
    write_synthetic(copy, num_train=1, num_val=1, size=(128, 128))
    (copy / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    assert "val.txt: lists no example" in search(model_dir, copy, tmp_path / "out").error


def test_truths_without_a_class(model_dir, tmp_path):
    data_dir = tmp_path / "data"
    write_synthetic(data_dir, num_train=1, num_val=2, size=(128, 128))
    for example in read_split(data_dir, "val"):
        cv2.imwrite(example.label, np.full((128, 128), 255, np.uint8))
    assert "void everywhere" in search(model_dir, data_dir, tmp_path / "out").error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=nowhere"], "nowhere"),
        (["--data_dir=nowhere"], "nowhere: no such folder"),
        (["--split=test"], "test.txt: no such list"),
        (["--scales=0"], "--scales=0; give numbers above 0"),
        (["--grid_w1=3,x"], "--grid_*: could not convert string to float: 'x'"),
        (["--grid_w1=3,3"], "--grid_*: SearchGrid: w1 has values [3.0, 3.0]"),
        (["--grid_sigma_beta=0"], "sigma_beta must be a finite number above 0"),
        (["--crf_w1=4"], "--crf_w1: this parameter is searched; to fix it, give --grid_w1"),
        (["--crf_params=x.json"], "--crf_params: this command searches the parameters"),
        (["--crf_iterations=-1"], "iterations must be a whole number"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_bad_input_is_one_clear_line(model_dir, data_dir, tmp_path, flags, message):
    done = search(model_dir, data_dir, tmp_path / "out", *flags)
    assert message in done.error
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file(model_dir, data_dir, tmp_path):
    (tmp_path / "out").write_text("mine")
    assert "out" in search(model_dir, data_dir, tmp_path / "out").error
    assert (tmp_path / "out").read_text() == "mine"
