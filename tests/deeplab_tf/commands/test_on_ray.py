"""Commands with --runner=ray on a stand-in for a cluster, whose workers die when the test says.

`make test-ray` runs them, because `make test` is at the limit of its time.
"""

import importlib.util
import json
import re
import sys

import cv2
import pytest
from fake_ray import FakeRay
from tiny_model import blocks
from tool_runner import run_tool

from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set
from deeplab_tf.export import export_saved_model

pq = pytest.importorskip("pyarrow.parquet", reason='needs pip install ".[ray]"')
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason='needs pip install ".[ray]"'
    ),
]

CRF = ["--crf", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=1"]
GRID = ["--grid_w1=3,6", "--grid_sigma_alpha=20", "--grid_sigma_beta=15", "--crf_iterations=1"]


@pytest.fixture
def ray(monkeypatch):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=5, size=(128, 130))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """30 images in two folders, of which 7.png and deep/8.png are damaged."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep").mkdir()
    for number in range(30):
        path = folder / f"{'' if number % 2 else 'deep/'}{number}.png"
        cv2.imwrite(str(path), blocks(40, 50 + number % 3, seed=number))
        if number in (7, 8):
            path.write_bytes(path.read_bytes()[:300])
    return folder


def on_ray(model_dir, out_dir, *more):
    flags = [f"--model={model_dir}", f"--out_dir={out_dir}", "--runner=ray", *more]
    return run_tool("predict", *flags)


def rows_of(out_dir):
    return pq.read_table(out_dir / "table.parquet").to_pylist()


def label_files(out_dir):
    return {
        str(path.relative_to(out_dir)): path.read_bytes()
        for path in out_dir.rglob("*.png")
        if not path.stem.endswith("_overlay")
    }


@pytest.fixture(scope="module")
def expected(model_dir, photos, tmp_path_factory):
    """{path of a label file: contents} that plain predict writes."""
    out_dir = tmp_path_factory.mktemp("plain")
    for folder in ("", "deep"):
        flags = [f"--model={model_dir}", f"--out_dir={out_dir / folder}", *CRF]
        run_tool("predict", *flags, photos / folder)
    found = label_files(out_dir)
    assert len(found) == 28
    return found


def test_an_archive_with_damaged_images(ray, model_dir, photos, expected, tmp_path):
    done = on_ray(model_dir, tmp_path / "out", f"--inputs={photos}", *CRF)
    assert label_files(tmp_path / "out") == expected
    rows = rows_of(tmp_path / "out")
    assert len({row["source"] for row in rows}) == len(rows) == 30
    failed = {row["image"]: row["error"] for row in rows if row["error"]}
    assert set(failed) == {"7.png", "deep/8.png"} and "damaged or cut off" in failed["7.png"]
    assert "2 of 30 images were left out: " in done.error and "--retry_failed" in done.error
    assert "workers: 1, each with 2 processors" in done.out and "28 images have labels" in done.out
    assert "left out: 7.png: " in done.out
    assert "30/30" in done.err and "image/s" in done.err


def test_labels_in_the_table(ray, model_dir, photos, expected, tmp_path):
    flags = "--labels_format=parquet", "--ray_cpus=1", "--ray_batch=2"
    on_ray(model_dir, tmp_path / "out", *flags, *CRF, photos)
    pngs = {row["image"]: row["label_png"] for row in rows_of(tmp_path / "out")}
    assert {name: png for name, png in pngs.items() if png} == expected
    assert ray.started == 2 and not label_files(tmp_path / "out")


def test_a_second_run_does_the_rest(ray, model_dir, photos, expected, tmp_path):
    out_dir = tmp_path / "out"
    flags = f"--inputs={photos / 'deep'}", f"--inputs={photos / '1*.png'}", *CRF
    on_ray(model_dir, out_dir, *flags)
    written = {path: path.stat().st_mtime_ns for path in (out_dir / "table.parquet").iterdir()}
    first = len(rows_of(out_dir))
    assert first == 21
    done = on_ray(model_dir, out_dir, f"--inputs={photos}", *CRF)
    assert "21 of 30 images are done already" in done.out
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    rows = rows_of(out_dir)
    assert len(rows) == len({row["source"] for row in rows}) == 30
    started = ray.started
    done = on_ray(model_dir, out_dir, f"--inputs={photos}", *CRF)
    assert ray.started == started and "30 of 30 images are done already" in done.out
    assert label_files(out_dir) == expected


def test_failed_images_are_tried_again_when_asked(ray, model_dir, tmp_path):
    photos, out_dir = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(photos / f"{name}.png"), blocks(30, 30))
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(b"")
    assert on_ray(model_dir, out_dir, photos).status == 1
    (photos / "b.png").write_bytes(whole)
    assert on_ray(model_dir, out_dir, photos).status == 1
    done = on_ray(model_dir, out_dir, photos, "--retry_failed")
    assert done.status == 0, done.err
    assert sorted(row["image"] for row in rows_of(out_dir)) == ["a.png", "b.png"]
    assert not any(row["error"] for row in rows_of(out_dir))


def test_images_of_dead_workers_are_done_again(ray, model_dir, photos, expected, tmp_path):
    dead = []
    ray.deadly = lambda work: work and work[0].endswith("2") and not dead and not dead.append(work)
    on_ray(model_dir, tmp_path / "out", "--ray_part=5", *CRF, photos)
    assert len(dead) == 1 and len(dead[0][1]) == 5 and ray.started == 2
    assert label_files(tmp_path / "out") == expected
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len({row["source"] for row in rows}) == 30


def test_an_image_that_kills_every_worker_is_a_row(ray, model_dir, photos, expected, tmp_path):
    ray.deadly = lambda work: work and any(item.name == "11.png" for item in work[1])
    done = on_ray(model_dir, tmp_path / "out", "--ray_part=5", *CRF, photos)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len({row["source"] for row in rows}) == 30
    (reason,) = [row["error"] for row in rows if row["image"] == "11.png"]
    assert reason == "11.png: every worker that labeled it died; does its memory suffice?"
    assert label_files(tmp_path / "out").keys() == expected.keys() - {"11.png"}
    assert "30/30" in done.err and "3 of 30 images were left out" in done.error


def test_another_job_in_the_folder_is_refused(ray, model_dir, photos, tmp_path):
    on_ray(model_dir, tmp_path / "out", f"--inputs={photos}/1.png")
    done = on_ray(model_dir, tmp_path / "out", *CRF, f"--inputs={photos}/1.png", "--max_side=20")
    assert "were made with another crf and max_side" in done.error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--inputs=x"], "--inputs has no effect without --runner=ray"),
        (["--ray_cpus=2", "x"], "--ray_cpus has no effect without --runner=ray"),
        (["--runner=ray", "--panel_out=x.png", "x"], "--panel_out has no effect with --runner=ray"),
        (["--runner=ray"], "no image is given; give --inputs"),
        (["--runner=ray", "--ray_cpus=3", "{photos}"], "no machine of the cluster holds"),
        (["--runner=ray", "--crf_w1=3", "x"], "--crf_w1 has no effect without --crf"),
    ],
)
def test_flags_that_do_not_fit(ray, model_dir, photos, tmp_path, flags, message):
    flags = [flag.format(photos=photos) for flag in flags]
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'out'}", *flags)
    assert message in done.error


def test_an_exported_network(ray, model, data_dir, photos, tmp_path):
    export_saved_model(model, tmp_path / "served", read_label_set(data_dir), max_side=30)
    for name, more in (("plain", ()), ("ray", ("--runner=ray",))):
        flags = f"--model={tmp_path / 'served'}", f"--out_dir={tmp_path / name}"
        assert run_tool("predict", *flags, *more, photos / "1.png").status == 0
    assert label_files(tmp_path / "ray") == label_files(tmp_path / "plain") != {}


def test_evaluate_gives_the_scores_of_one_process(ray, model_dir, data_dir, tmp_path):
    def run(name, *more):
        out = {kind: tmp_path / f"{name}_{kind}" for kind in ("json", "report", "labels", "trimap")}
        done = run_tool(
            "evaluate", f"--model={model_dir}", f"--data_dir={data_dir}", *CRF, "--trimap",
            f"--json_out={out['json']}", f"--report_out={out['report']}",
            f"--trimap_out={out['trimap']}", f"--panel_out={tmp_path / name}.png", "--panel_rows=3",
            f"--predictions_out={out['labels']}", *more,
        )  # fmt: skip
        assert done.status == 0, done.err
        tables = done.out[done.out.index("mean IoU") - 200 :].partition("wrote")[0]
        panel = (tmp_path / f"{name}.png").read_bytes()
        return json.loads(out["json"].read_text()), label_files(out["labels"]), panel, tables

    pytest.importorskip("jinja2")
    ray.deadly = lambda work: work and work[0][0] == 2 and ray.started < 3
    expected, found = run("plain"), run("ray", "--runner=ray", "--ray_cpus=1")
    assert found[:3] == expected[:3] and len(found[1]) == 5
    assert ray.started == 3


def test_evaluate_names_what_kills_its_workers(ray, model_dir, data_dir):
    ray.deadly = lambda work: work
    flags = f"--model={model_dir}", f"--data_dir={data_dir}", "--runner=ray"
    assert "workers died while they scored val_0000" in run_tool("evaluate", *flags).error
    done = run_tool("evaluate", *flags, "--strategy=multi_worker")
    assert "--strategy has no effect with --runner=ray" in done.error


def test_search_crf_finds_the_same_point(ray, model_dir, data_dir, tmp_path):
    def run(name, *more):
        flags = f"--model={model_dir}", f"--data_dir={data_dir}", f"--out_dir={tmp_path / name}"
        done = run_tool("search_crf", *flags, *GRID, "--rounds=1", *more)
        assert done.status == 0, done.err
        record = json.loads((tmp_path / name / "search.json").read_text())
        (found,) = re.findall("mean IoU on .*", done.out)
        return record, found, sorted(path.name for path in (tmp_path / name).rglob("*.npy"))

    dead = []
    ray.deadly = lambda work: work and work[0] == "count" and not dead and not dead.append(work)
    assert run("ray", "--runner=ray", "--ray_cpus=1") == run("plain")
    assert dead and ray.started == 3
    again = run_tool(
        "search_crf", f"--model={model_dir}", f"--data_dir={data_dir}", "--runner=ray",
        f"--out_dir={tmp_path / 'ray'}", "--threads=2",
    )  # fmt: skip
    assert "--threads has no effect with --runner=ray" in again.error
