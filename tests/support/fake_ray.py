"""Stands in for the module `ray`: one machine, whose workers are objects of this process.

A task is done when its result is waited for. Arguments and results are pickled, as between
processes. `FakeRay.deadly` decides which work kills its worker.
"""

import pickle
import types


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(f"a stack trace\n{cause}")
        self.cause = cause


class FakeRay:
    """A cluster of one machine with `cpus` processors.

    Attributes:
      deadly: function from the argument of `work` to whether it kills the worker; `None` as the
        argument stands for `open`.
      started: number of workers that were started.
      most_held: the most tasks that were handed out and not finished at any time.
    """

    exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, cpus=2):
        self.cpus, self.deadly = cpus, lambda work: False
        self.started = self.most_held = self._held = 0

    def is_initialized(self):
        return True

    def nodes(self):
        gone = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [{"Alive": True, "Resources": {"CPU": float(self.cpus)}}, gone]

    def put(self, value):
        return _copied(value)

    def remote(self, **options):
        self.options = options
        return lambda worker_class: types.SimpleNamespace(
            remote=lambda *args, cpus, **named: _Actor(self, worker_class, args, named)
        )

    def wait(self, references, num_returns, timeout):
        references[0].finish()
        return references[:1], references[1:]

    def get(self, reference):
        if not isinstance(reference, _Reference):  # of `put`
            return reference
        if isinstance(reference.error, RayError):
            raise reference.error
        return reference.result

    def kill(self, actor):
        actor.is_dead = True

    def hand_out(self, count):
        self._held += count
        self.most_held = max(self.most_held, self._held)


class _Actor:
    def __init__(self, ray, worker_class, args, named):
        ray.started += 1
        self.ray, self.is_dead = ray, False
        self.worker = worker_class(*_copied(args), **named)
        self.open = types.SimpleNamespace(remote=lambda: _Reference(self, "open"))
        self.work = types.SimpleNamespace(remote=lambda work: _Reference(self, "work", work))


class _Reference:
    def __init__(self, actor, method, *arguments):
        self.actor, self.method, self.arguments = actor, method, _copied(arguments)
        self.result = self.error = None
        actor.ray.hand_out(len(arguments))

    def finish(self):
        self.actor.ray.hand_out(-len(self.arguments))
        if self.actor.is_dead or self.actor.ray.deadly(*(self.arguments or [None])):
            self.actor.is_dead = True
            self.error = RayError("the actor died")
            return
        try:
            self.result = _copied(getattr(self.actor.worker, self.method)(*self.arguments))
        except Exception as error:
            self.error = RayTaskError(error)


def _copied(value):
    return pickle.loads(pickle.dumps(value))
