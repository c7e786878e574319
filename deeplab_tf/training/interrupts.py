"""Being asked to stop: SIGTERM, as of a machine that is taken away, and Ctrl-C."""

import contextlib
import signal
import threading


class Stopped(BaseException):
    """Raised where a training may be interrupted, once it has been asked to stop.

    As KeyboardInterrupt it is no Exception: what catches errors on the way lets it pass.
    """


class StopSignals:
    """Takes note of SIGTERM and of the first SIGINT, inside `with`.

    A second SIGINT raises KeyboardInterrupt, as ever. In a thread other than the main one, where
    Python hands out no signals, nothing is noticed.

    Example:
      >>> with StopSignals() as stop:
      ...     while not stop.requested:
      ...         make_step()
      ...         with stop.interruptible():
      ...             take_long()

    Attributes:
      requested: name of the signal that came, "SIGTERM" or "SIGINT"; None before.
    """

    def __init__(self):
        self.requested = None
        self._interruptible = False
        self._replaced = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._replaced[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error):
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def interruptible(self, at_once=True):
        """What is done inside `with` is broken off, with `Stopped`, when a signal comes.

        Args:
          at_once: False where other processes wait for this one: nothing is broken off, and all
            of them have to stop together.
        """
        self._interruptible = at_once
        try:
            if at_once:
                self.check()
            yield
        finally:
            self._interruptible = False

    def check(self):
        """Raise `Stopped` if a signal has come."""
        if self.requested:
            raise Stopped

    def _receive(self, number, frame):
        if number == signal.SIGINT and self.requested == "SIGINT":
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
        if self._interruptible:
            self._interruptible = False  # once: what is raised is being cleaned up after
            raise Stopped
