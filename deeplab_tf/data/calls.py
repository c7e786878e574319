"""Python functions called by the threads of a data set, which must stop before the interpreter.

A thread that wants to run Python code while the interpreter ends waits for ever, and the data
set, whose end waits for its threads, with it: the process would hang, for instance after an error
whose traceback keeps the data set alive.
"""

import atexit
import functools
import threading

# Long enough for a call that a thread has under way to reach Python.
GRACE_SECONDS = 0.2


class _Calls:
    """Counts the calls that run, and refuses new ones when the interpreter is about to end."""

    def __init__(self):
        self._running, self._refused, self._ending = 0, 0, False
        self._changed = threading.Condition()

    def __enter__(self):
        with self._changed:
            if self._ending:
                self._refused += 1
                self._changed.notify_all()
                raise RuntimeError("Python is about to end")
            self._running += 1

    def __exit__(self, *_):
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def end(self):
        """Wait until no call runs or is about to."""
        with self._changed:
            self._ending = True
            self._changed.wait_for(lambda: not self._running)
            # Refused calls fill the data sets' buffers with errors; then no more come.
            while self._changed.wait_for(self._newly_refused, GRACE_SECONDS):
                pass

    def _newly_refused(self):
        new, self._refused = self._refused > 0, 0
        return new


@functools.cache
def _calls():
    calls = _Calls()
    atexit.register(calls.end)
    return calls


def ending_in_time(function):
    """The function, for `tf.numpy_function` inside tf.data, refused once the interpreter ends.

    Raises:
      RuntimeError: from the function, when the interpreter is about to end.
    """
    calls = _calls()

    @functools.wraps(function)
    def call(*arguments):
        with calls:
            return function(*arguments)

    return call
