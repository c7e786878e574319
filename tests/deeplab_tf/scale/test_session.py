import importlib.util
import sys

import pytest
from fake_ray import FakeRay

from deeplab_tf import InputError
from deeplab_tf.scale.session import WorkerPlan, import_ray, plan_workers, ray_session


def machines(*sizes):
    return [{"Alive": True, "Resources": dict(zip(("CPU", "GPU"), size, strict=False))}
            for size in sizes]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "given", "expected"),
    [
        ([(2.0,)], {}, (1, 2, 0)),
        ([(1.0,), (1.0,)], {}, (2, 1, 0)),
        ([(8.0,), (6.0,)], {}, (3, 4, 0)),
        ([(8.0,), (6.0,), (0.0,)], {"cpus": 2}, (7, 2, 0)),
        ([(8.0,)], {"cpus": 3, "count": 5}, (5, 3, 0)),  # more machines may come
        ([(16.0, 2.0), (4.0,)], {}, (2, 8, 1)),
        ([(16.0, 2.0)], {"gpus": 0.5}, (4, 4, 0.5)),
        ([(16.0, 2.0)], {"gpus": 0}, (4, 4, 0)),
        ([(2.0, 4.0)], {}, (2, 1, 1)),
        ([(2.0,)], {"cpus": 8, "count": 3}, (3, 8, 0)),
    ],
)
def test_workers_fill_the_machines(sizes, given, expected):
    assert plan_workers(machines(*sizes), **given) == WorkerPlan(*expected)


def test_machines_that_are_gone_hold_no_worker():
    gone = {"Alive": False, "Resources": {"CPU": 64.0}}
    assert plan_workers([gone, *machines((2.0,))]) == WorkerPlan(1, 2, 0)


@pytest.mark.parametrize(
    ("sizes", "given"), [([(2.0,)], {"cpus": 3}), ([(2.0,)], {"gpus": 1}), ([], {})]
)
def test_no_machine_is_large_enough(sizes, given):
    with pytest.raises(InputError, match="no machine of the cluster holds a worker"):
        plan_workers(machines(*sizes), **given)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_one_line_says_how_to_install_it():
    with pytest.raises(InputError, match=r'needs the Python package ray.*"deeplab-tf\[ray\]"'):
        import_ray()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, r"Ray cannot be started here \(the node timed out\)"),
        ("auto", r"--ray_address=auto: Ray cannot be reached \(the node timed out\)"),
    ],
)
def test_ray_that_does_not_start_is_one_line(monkeypatch, address, message):
    def init(**options):
        assert options["address"] == (address or "local") and not options["log_to_driver"]
        raise Exception("the node timed out")

    ray = FakeRay()
    ray.is_initialized, ray.init = lambda: False, init
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=message), ray_session(address):
        pass
