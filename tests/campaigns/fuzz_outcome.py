"""What comes of one input, for the tests of what the campaign found."""

import fuzz_readers
from fuzz_child import write_input
from fuzz_worker import attempt


def outcome(tmp_path, reader, contents):
    """The kind and the text of what comes of an input."""
    write_input(tmp_path / "run", contents)
    found = attempt(reader, fuzz_readers, tmp_path / "run")
    return found["kind"], found["text"]


def refused(tmp_path, reader, contents, needle):
    kind, text = outcome(tmp_path, reader, contents)
    assert kind == "line" and needle in text, (kind, text)
