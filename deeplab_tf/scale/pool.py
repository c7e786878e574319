"""Workers on a Ray cluster that share a stream of tasks; those that die are replaced."""

from collections import deque
from typing import Any, NamedTuple

from deeplab_tf.errors import InputError, one_line

# A worker has its next task before it has finished one, so that it never waits for the driver.
TASKS_AHEAD = 2

# Deaths in a row, for each worker, of workers that have not opened the model yet.
FAILED_STARTS = 3

SECONDS_BETWEEN_NOTICES = 60


class Task(NamedTuple):
    """A piece of work.

    Args:
      work: what the method `work` of a worker gets.
      deaths: how many workers have died of it, or while they did it.
    """

    work: Any
    deaths: int = 0


class _Worker:
    def __init__(self, actor):
        self.actor, self.is_ready = actor, False
        self.refs = deque()  # of its tasks, the one that it is doing first


class WorkerPool:
    """Starts workers and gives them tasks.

    A worker is an actor of Ray with two methods: `open()`, called once, and `work(...)`. An
    `InputError` of either ends the run. Tasks are taken from their iterable only when a worker has
    room for one: at most `TASKS_AHEAD` times the number of workers are handed out at any time.

    Args:
      ray: the connected module.
      start: function that starts an actor and returns its handle.
      count: number of workers.
      notice: function that is called with a line if there is no worker for a minute.
    """

    def __init__(self, ray, start, count, notice=print):
        self._ray, self._start, self._notice = ray, start, notice
        self._pending = {}  # reference -> (worker, `Task`; None while it opens the model)
        self._workers, self._failed_starts = [], 0
        for _ in range(count):
            self._add_worker()

    def run(self, tasks, again):
        """Do all tasks, in any order; a task is done again if its worker dies.

        Args:
          tasks: iterable of `Task`.
          again: function from a `Task` whose worker has died, with `deaths` increased, to the list
            of tasks to do in its place.

        Yields:
          (task, what `work` returned).

        Raises:
          InputError: of a worker, or if no worker can be started.
        """
        tasks, repeated = iter(tasks), deque()
        while True:
            self._hand_out(tasks, repeated)
            if not any(task for _, task in self._pending.values()) and not repeated:
                following = next(tasks, None)
                if following is None:
                    return
                repeated.append(following)  # no worker is ready to take it
            finished, _ = self._ray.wait(
                list(self._pending), num_returns=1, timeout=SECONDS_BETWEEN_NOTICES
            )
            if not finished and not any(worker.is_ready for worker in self._workers):
                self._notice("waiting for the cluster to start a worker ...")
            for reference in finished:
                if reference in self._pending:  # not one of a worker that has just died
                    yield from self._collect(reference, again, repeated)

    def close(self):
        """End all workers."""
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers, self._pending = [], {}

    def _hand_out(self, tasks, repeated):
        for length in range(TASKS_AHEAD):  # first one task for each worker, then a second one
            for worker in self._workers:
                if worker.is_ready and len(worker.refs) <= length:
                    task = repeated.popleft() if repeated else next(tasks, None)
                    if task is None:
                        return
                    reference = worker.actor.work.remote(task.work)
                    worker.refs.append(reference)
                    self._pending[reference] = worker, task

    def _collect(self, reference, again, repeated):
        worker, task = self._pending[reference]
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(str(error.cause)) from None
            raise
        except errors.RayError as error:  # the worker, its machine, or the result is lost
            repeated.extend(self._replace(worker, again, error))
            return
        del self._pending[reference]
        if task is None:
            worker.is_ready, self._failed_starts = True, 0
            return
        worker.refs.remove(reference)
        yield task, result

    def _replace(self, worker, again, error):
        """Start another worker; list of the tasks to do again."""
        doing = worker.refs[0] if worker.refs else None
        lost = []
        for reference in worker.refs:
            task = self._pending.pop(reference)[1]
            # The tasks behind the one that it was doing are not suspected of having killed it.
            lost += again(task._replace(deaths=task.deaths + 1)) if reference is doing else [task]
        self._pending = {r: pair for r, pair in self._pending.items() if pair[0] is not worker}
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # if only the connection to it was lost
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts > FAILED_STARTS * (len(self._workers) + 1):
                raise InputError(
                    "the workers die before they have opened the model; does their memory suffice? "
                    f"Ray says: {one_line(error, 400)}"
                )
        self._add_worker()
        return lost

    def _add_worker(self):
        worker = _Worker(self._start())
        self._workers.append(worker)
        self._pending[worker.actor.open.remote()] = worker, None
