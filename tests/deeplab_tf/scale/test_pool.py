"""Workers share tasks, and those that die are replaced, without a real cluster."""

import pytest
from fake_ray import FakeRay, RayTaskError

from deeplab_tf import InputError
from deeplab_tf.scale.pool import TASKS_AHEAD, Task, WorkerPool
from deeplab_tf.scale.session import WorkerPlan
from deeplab_tf.scale.worker import start_workers


class Doubler:
    def __init__(self, reason=None, version=None, cpus=None):
        self.reason = reason

    def open(self):
        if self.reason:
            raise InputError(self.reason)

    def work(self, number):
        if number < 0:
            raise InputError(f"{number} is negative")
        return 2 * number // (number != 1000)


def pool_of(ray, *arguments, count=3):
    plan = WorkerPlan(count, 1, 0)
    return WorkerPool(ray, start_workers(ray, Doubler, plan, *arguments), count)


def again(task):
    return [task]


def results(pool, numbers, again=again):
    return sorted(found for _, found in pool.run(map(Task, numbers), again))


def test_every_task_is_done_once_by_all_workers():
    ray = FakeRay()
    pool = pool_of(ray)
    assert results(pool, range(2, 50)) == [2 * number for number in range(2, 50)]
    assert results(pool, range(2, 5)) == [4, 6, 8]  # the workers are still there
    assert ray.started == 3 and ray.options["max_restarts"] == 0
    assert results(pool, []) == []


def test_few_tasks_are_taken_in_advance():
    ray, taken, done = FakeRay(), [], 0

    def tasks():
        for number in range(2, 100):
            taken.append(number)
            yield Task(number)

    for _ in pool_of(ray).run(tasks(), again):
        done += 1
        assert len(taken) - done <= 3 * TASKS_AHEAD
    assert done == 98 and ray.most_held <= 3 * TASKS_AHEAD


def test_the_task_of_a_dead_worker_is_done_again_once():
    ray, deaths, seen = FakeRay(), [], []
    ray.deadly = lambda work: work in (7, 30) and work not in deaths and not deaths.append(work)

    def again(task):
        seen.append(task)
        return [task]

    assert results(pool_of(ray), range(2, 50), again) == [2 * number for number in range(2, 50)]
    assert ray.started == 5 and seen == [Task(7, 1), Task(30, 1)]


def test_tasks_behind_the_deadly_one_are_not_suspected():
    ray, seen = FakeRay(), []
    ray.deadly = lambda work: work == 5

    def again(task):
        seen.append(task)
        return [task] if task.deaths < 3 else []

    found = results(pool_of(ray, count=1), [4, 5, 6, 7], again)
    assert found == [8, 12, 14] and seen == [Task(5, 1), Task(5, 2), Task(5, 3)]


def test_an_input_error_of_a_worker_ends_the_run():
    with pytest.raises(InputError, match=r"^-4 is negative$"):
        results(pool_of(FakeRay()), [2, -4, 3])
    with pytest.raises(InputError, match=r"^no such package$"):
        results(pool_of(FakeRay(), "no such package"), [2])
    with pytest.raises(RayTaskError):  # a bug keeps its stack trace
        results(pool_of(FakeRay()), [1000])


def test_workers_that_cannot_start_end_the_run():
    ray = FakeRay()
    ray.deadly = lambda work: work is None
    with pytest.raises(InputError, match="die before they have opened the model"):
        results(pool_of(ray), [2])
    assert ray.started < 20


def test_a_line_while_no_worker_comes():
    ray, lines = FakeRay(), []
    waited = ray.wait
    ray.wait = lambda *args, **named: waited(*args, **named) if lines else ([], [])
    plan = WorkerPlan(1, 1, 0)
    pool = WorkerPool(ray, start_workers(ray, Doubler, plan), 1, lines.append)
    assert results(pool, [2]) == [4]
    assert len(lines) == 1 and "waiting for the cluster" in lines[0]
