"""A short fuzzing campaign, and the campaign's own parts."""

import contextlib
import multiprocessing
import random
import warnings

import fuzz_readers
import pytest
from fuzz_child import Child, Limits, write_input
from fuzz_files import undated
from fuzz_inputs import Inputs, checksum
from fuzz_seeds import SEEDS
from fuzz_worker import attempt

NUMBER = 6  # of changed inputs of each reader


def outcomes(reader, inputs, folder):
    """The number of each input, and what came of it."""
    # Pytest has put its own filters in the place of those that our modules set.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    for number in [*range(len(inputs.seeds)), *range(1000, 1000 + NUMBER)]:
        write_input(folder, inputs[number])
        yield number, attempt(reader, fuzz_readers, folder)


def send_outcomes(reader, inputs, folder, sender):
    for one in outcomes(reader, inputs, folder):
        sender.send(one)
    sender.close()


def received(receiver):
    """All that is sent until the other end is closed."""
    found = []
    with contextlib.suppress(EOFError):
        while True:
            assert receiver.poll(120), f"no answer after {found[-1:]}"
            found.append(receiver.recv())
    return found


@pytest.mark.parametrize("reader", fuzz_readers.READERS)
def test_every_input_gives_a_result_or_one_line(tmp_path, reader):
    inputs = Inputs(reader, 7)
    if reader in fuzz_readers.TENSORFLOW:
        found = list(outcomes(reader, inputs, tmp_path))
    else:  # a crash must not end the tests
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=send_outcomes, args=(reader, inputs, tmp_path, sender))
        with warnings.catch_warnings():
            # Python 3.12 warns about forking a process with threads, here TensorFlow's.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        sender.close()
        try:
            found = received(receiver)
            child.join(120)
        finally:
            child.kill()
            child.join()
        assert child.exitcode == 0, f"ended after {found[-1:]}"
    assert len(found) == len(inputs.seeds) + NUMBER
    assert [one for one in found if one[1]["kind"] not in ("result", "line")] == []
    # Or nothing was tried.
    assert "result" in [one["kind"] for _, one in found[: len(inputs.seeds)]]


def test_every_reader_has_seeds():
    assert SEEDS.keys() == fuzz_readers.READERS.keys()


@pytest.mark.parametrize("reader", ["keras", "packed npz", "network tar", "mat sbd", "pth"])
def test_a_seed_of_the_campaign_gives_the_same_inputs(reader):
    def checksums(seed):
        inputs = Inputs(reader, seed)
        return [checksum(inputs[number]) for number in (0, 1000, 1001, 1002)]

    first = checksums(3)
    random.random()  # the inputs have generators of their own
    assert checksums(3) == first
    assert checksums(4)[1:] != first[1:]
    assert undated(b'{"date_saved": "2026-01-01"}') == b'{"date_saved": "never"}'


def test_what_readers_must_not_do_is_noticed():
    with Child("misbehaving_readers") as child:
        for reader in ("result", "line", "message", "exception", "outside", "code", "crash"):
            assert child.read(reader, {"file": b"abc"})["kind"] == reader
        assert child.read("exception", {"file": b""})["text"].startswith("KeyError in ")
        assert child.read("result", {"file": b"abc"})["kind"] == "result"
        assert child.starts == 2


@pytest.mark.parametrize(
    ("reader", "limits"),
    [
        ("time", Limits(seconds=0.2, wall_seconds=600)),
        ("sleep", Limits(wall_seconds=0.2)),
        ("memory", Limits(memory=200 << 20, wall_seconds=600)),
    ],
)
def test_an_input_that_takes_too_much_ends_only_the_child(reader, limits):
    with Child("misbehaving_readers", limits) as child:
        kind = child.read(reader, {"file": b"abc"})["kind"]
    assert kind == {"sleep": "time"}.get(reader, reader)
