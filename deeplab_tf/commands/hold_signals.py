"""SIGTERM waits from here on until the tool listens to it.

Import it before what imports TensorFlow: that takes seconds, and a machine that is taken away
meanwhile would find a training that has failed.
"""

import signal

_HELD = [signal.SIGTERM]

signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def release():
    """Let signals come again, first one that has come meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
