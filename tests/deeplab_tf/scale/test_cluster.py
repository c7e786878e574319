"""A real cluster of two machines, which are processes here: one of them is lost midway.

`make test-ray` runs these tests.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pytest
from tiny_model import blocks, random_model
from tool_runner import TOOLS, run_tool

from deeplab_tf import InputError
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set
from deeplab_tf.scale.model_files import ModelFiles
from deeplab_tf.scale.pool import Task, WorkerPool
from deeplab_tf.scale.session import WorkerPlan, ray_session
from deeplab_tf.scale.worker import Worker, start_workers

pq = pytest.importorskip("pyarrow.parquet", reason='needs pip install ".[ray]"')
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason='needs pip install ".[ray]"'
    ),
    # Ray's and TensorFlow's packages warn about each other; nothing of ours.
    pytest.mark.filterwarnings("ignore"),
]

COUNT = 500
SECONDS = 300  # for what takes a few
CRF = ["--crf", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=1"]
GRID = ["--grid_w1=3,6", "--grid_sigma_alpha=20", "--grid_sigma_beta=15", "--crf_iterations=1"]


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    made = Cluster(
        initialize_head=True, head_node_args={**small, "include_dashboard": False}
    )  # fmt: skip
    made.lost = made.add_node(**small)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=5, size=(128, 130))
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("model")
    random_model(read_label_set(data_dir).num_classes).save(folder / "best.keras")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        pixels = blocks(24 + number % 3, 32, cell=8, seed=number)
        cv2.imwrite(str(folder / f"{number:03d}.png"), pixels)
    return folder


def parts(out_dir):
    return sorted((out_dir / "table.parquet").glob("[0-9]*.parquet"))


def wait_for_parts(out_dir, count, driver=None, messages=None):
    end = time.monotonic() + SECONDS
    while len(parts(out_dir)) < count:
        assert driver is None or driver.poll() is None, messages.read_text()
        assert time.monotonic() < end, f"{len(parts(out_dir))} parts of {count}"
        time.sleep(0.02)


def test_a_killed_driver_and_a_lost_machine(cluster, model_dir, photos, tmp_path):
    out_dir = tmp_path / "out"
    flags = [
        f"--model={model_dir}", f"--out_dir={out_dir}", f"--inputs={photos}", *CRF,
        "--runner=ray", f"--ray_address={cluster.address}", "--ray_part=5",
    ]  # fmt: skip

    # The driver is killed: what it had done stays as it is.
    messages = tmp_path / "driver.txt"
    with messages.open("wb") as file:
        driver = subprocess.Popen(
            [sys.executable, TOOLS / "predict.py", *flags],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    wait_for_parts(out_dir, 10, driver, messages)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(2)  # its workers end
    first = {path: path.read_bytes() for path in parts(out_dir)}
    done = sum(pq.read_metadata(path).num_rows for path in first)
    assert 50 <= done < COUNT

    # The next run does the rest, although a machine is lost meanwhile.
    lost = []

    def lose_a_machine():
        wait_for_parts(out_dir, len(first) + 10)
        cluster.remove_node(cluster.lost, allow_graceful=False)
        lost.append(len(parts(out_dir)))

    thread = threading.Thread(target=lose_a_machine)
    thread.start()
    finished = run_tool("predict", *flags)
    thread.join()
    assert finished.status == 0, finished.err
    assert f"{done} of {COUNT} images are done already" in finished.out
    assert "workers: 2, each with 1 processors" in finished.out
    assert lost and lost[0] < len(parts(out_dir))
    assert all(path.read_bytes() == contents for path, contents in first.items())

    # Every image is labeled once, as by plain predict.
    rows = pq.read_table(out_dir / "table.parquet").to_pylist()
    names = sorted(row["image"] for row in rows)
    assert names == [f"{number:03d}.png" for number in range(COUNT)]
    assert not any(row["error"] for row in rows)
    assert run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'plain'}", *CRF,
                    photos).status == 0  # fmt: skip
    for name in names:
        assert (out_dir / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_evaluate_and_search_crf_give_what_one_process_gives(
    cluster, model_dir, data_dir, tmp_path
):
    def run(name, *more):
        same = f"--model={model_dir}", f"--data_dir={data_dir}"
        json_out, found = tmp_path / f"{name}.json", tmp_path / name
        done = run_tool("evaluate", *same, *CRF, f"--json_out={json_out}", "--trimap",
                        f"--trimap_out={tmp_path / name}_trimap", *more)  # fmt: skip
        assert done.status == 0, done.err
        done = run_tool("search_crf", *same, *GRID, "--rounds=1", f"--out_dir={found}", *more)
        assert done.status == 0, done.err
        record = json.loads((found / "search.json").read_text())
        return json.loads(json_out.read_text()), record, re.findall("mean IoU on .*", done.out)

    assert run("ray", "--runner=ray", f"--ray_address={cluster.address}") == run("plain")


def test_an_error_of_a_worker_is_one_line(cluster):
    with ray_session(cluster.address) as ray:
        files = ModelFiles("best.keras", {"best.keras": b"no network"})
        pool = WorkerPool(ray, start_workers(ray, Worker, WorkerPlan(1, 1, 0), files), 1)
        with pytest.raises(InputError, match=r"^/\S+/best.keras: not a Keras model; [^\n]+$"):
            list(pool.run([Task(1)], lambda task: [task]))
        pool.close()


def test_an_address_without_a_cluster(model_dir, photos, tmp_path):
    done = run_tool(
        "predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'out'}", "--runner=ray",
        "--ray_address=127.0.0.1:1", photos,
    )  # fmt: skip
    assert "--ray_address=127.0.0.1:1: Ray cannot be reached" in done.error


def test_other_commands_do_not_import_ray():
    code = "import sys, deeplab_tf.commands.evaluate, deeplab_tf.commands.search_crf\n"
    code += "import deeplab_tf.commands.predict; print({'ray', 'pyarrow'} & sys.modules.keys())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.decode().strip() == "set()", done.stderr


@pytest.mark.slow
def test_the_memory_of_the_driver_stays_flat(cluster, model_dir, tmp_path, monkeypatch):
    photos, sizes = tmp_path / "photos", []
    photos.mkdir()
    for number in range(2000):
        contents = cv2.imencode(".png", blocks(24, 32, cell=8, seed=number))[1].tobytes()
        damaged = number % 100 == 50
        (photos / f"{number:04d}.png").write_bytes(contents[:60] if damaged else contents)

    from deeplab_tf.scale import pool

    class Watched(pool.WorkerPool):
        def run(self, *arguments):
            for found in super().run(*arguments):
                status = Path("/proc/self/status").read_text()
                sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024)
                yield found

    monkeypatch.setattr("deeplab_tf.scale.labels.WorkerPool", Watched)
    done = run_tool(
        "predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'out'}", f"--inputs={photos}",
        "--runner=ray", f"--ray_address={cluster.address}", "--ray_part=10",
    )  # fmt: skip
    assert "20 of 2000 images were left out" in done.error
    rows = pq.read_table(tmp_path / "out" / "table.parquet").to_pylist()
    assert sorted(row["image"] for row in rows) == [f"{number:04d}.png" for number in range(2000)]
    failed = [row["image"] for row in rows if row["error"]]
    assert sorted(failed) == [f"{number:04d}.png" for number in range(50, 2000, 100)]
    assert len(list((tmp_path / "out").glob("*.png"))) == 1980
    assert len(sizes) >= 200 and sizes[-1] - sizes[len(sizes) // 5] < 20, sizes  # megabytes
    print(f"megabytes of the driver: {sizes[0]:.0f} at first, {sizes[-1]:.0f} at the end")
