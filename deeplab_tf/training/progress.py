"""The progress bar of a training, and how fast it goes."""

import sys
import time

from tqdm import tqdm

_BAR = "{l_bar}{bar}| step {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class Progress:
    """A bar with step, time left, loss and images/s; the rate leaves out validations.

    Args:
      start: steps made before, which the estimate of the time left does not count.
      total: steps of the whole training.
      batch_size: images a step.
      shown: whether anything is printed.
    """

    def __init__(self, start, total, batch_size, shown=True):
        self._batch_size = batch_size
        self._step_seconds = None
        self._first = True  # the first step also builds the graph: its time says nothing
        # A log file gets a line now and then, a terminal a bar that moves.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            initial=start,
            total=total,
            bar_format=_BAR,
            mininterval=interval,
            smoothing=0.05,
            disable=not shown,
        )
        self.resume()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._bar.close()

    @property
    def images_per_second(self):
        """Images a second, a running mean over some twenty steps; 0 before the second step."""
        return self._batch_size / self._step_seconds if self._step_seconds else 0.0

    def update(self, loss):
        """Move on by one step that had this loss."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        if not self._first:
            mean = self._step_seconds or seconds
            self._step_seconds = mean + 0.05 * (seconds - mean)
        self._first = False
        text = f"loss {loss:.4f}, {self.images_per_second:.1f} images/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def resume(self):
        """Start the clock of the next step now: what was done since the last is no step."""
        self._since = time.perf_counter()

    def say(self, text):
        """Print a line above the bar."""
        self._bar.write(text)
