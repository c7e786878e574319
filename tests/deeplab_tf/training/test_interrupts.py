import os
import signal
import threading

import pytest

from deeplab_tf.training.interrupts import Stopped, StopSignals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        stop.check()
        assert stop.requested is None
        send(number)
        assert stop.requested == number.name
        with pytest.raises(Stopped):
            stop.check()
    assert signal.getsignal(number) is before


def test_what_may_be_interrupted_is_broken_off():
    done = []
    with StopSignals() as stop:
        with pytest.raises(Stopped), stop.interruptible():
            done.append("before")
            send(signal.SIGTERM)
            done.append("after")
        send(signal.SIGTERM)  # outside it is only noted
        with pytest.raises(Stopped), stop.interruptible():
            done.append("asked to stop before it began")
    assert done == ["before"]


def test_what_catches_errors_does_not_catch_it():
    assert not issubclass(Stopped, Exception)


def test_ctrl_c_twice_ends_at_once_and_sigterm_twice_does_not():
    with StopSignals() as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stop.requested == "SIGTERM"
    with StopSignals(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
        send(signal.SIGINT)


def test_in_another_thread_nothing_is_noticed_and_nothing_fails():
    found = []

    def use():
        with StopSignals() as stop, stop.interruptible():
            found.append(stop.requested)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [None]
