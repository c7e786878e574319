"""Stopping by SIGTERM, which cloud machines send before they are shut down, or by Ctrl-C."""

import contextlib
import signal
import threading


class Stopped(BaseException):
    """Raised at a point where a training run may be interrupted, after a stop signal.

    Like KeyboardInterrupt it is not an Exception, so that code that catches errors lets it pass.
    """


class StopSignals:
    """Records SIGTERM and the first SIGINT, inside `with`.

    A second SIGINT raises KeyboardInterrupt as usual. Outside the main thread, where Python
    delivers no signals, nothing is recorded.

    Example:
      >>> with StopSignals() as stop:
      ...     while not stop.requested:
      ...         make_step()
      ...         with stop.interruptible():
      ...             validate_model()  # takes long, may be interrupted

    Attributes:
      requested: name of the signal received, "SIGTERM" or "SIGINT"; None before.
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
        """Interrupt the work inside `with`, by raising `Stopped`, when a signal arrives.

        Args:
          at_once: False if other processes wait for this one: nothing is interrupted, and all of
            them must stop together.
        """
        self._interruptible = at_once
        try:
            if at_once:
                self.check()
            yield
        finally:
            self._interruptible = False

    def check(self):
        """Raise `Stopped` if a signal has arrived."""
        if self.requested:
            raise Stopped

    def _receive(self, number, frame):
        if number == signal.SIGINT and self.requested == "SIGINT":
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
        if self._interruptible:
            self._interruptible = False  # a second signal must not interrupt the cleanup
            raise Stopped
