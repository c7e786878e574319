"""Downloads from servers that misbehave; those from good ones are in test_archives.py."""

import pytest
from file_server import server

from deeplab_tf import download as module
from deeplab_tf.download import download
from deeplab_tf.errors import InputError

assert server


def refused(server, part, reason):
    with pytest.raises(InputError) as error:
        download(server.url, part, remedy="try another day")
    message = str(error.value)
    assert message.startswith(f"tiny.tar.gz: cannot be downloaded from {server.url} (")
    assert reason in message and message.endswith("; try another day")


@pytest.fixture
def part(tmp_path):
    return tmp_path / "tiny.tar.gz.part"


def test_a_redirect_to_a_file_of_this_machine(server, part, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    server.manner = "redirect"
    for target in (f"file://{secret}", f"FILE://{secret}", "data:text/plain,secret"):
        server.target = target
        refused(server, part, "")
        assert not part.exists()


def test_another_part_than_asked_for(server, part):
    part.write_bytes(server.data[:100])
    server.manner = "wrong part"
    refused(server, part, "the server sent another part (bytes 101-/2048) than asked for")
    assert part.read_bytes() == server.data[:100]
    server.manner = "good"
    assert download(server.url, part).read_bytes() == server.data


def test_a_server_that_falls_silent(server, part, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.manner = "silent"
    refused(server, part, "timed out")
    assert not part.exists()


def test_a_download_that_is_cut_off_again_and_again(server, part):
    server.manner = "cut"
    refused(server, part, "the connection broke after ")
    kept = part.read_bytes()
    assert 1000 < len(kept) < len(server.data) and server.data.startswith(kept)
    server.manner = "good"
    assert download(server.url, part).read_bytes() == server.data
    assert server.ranges[-1] == f"bytes={len(kept)}-"


def test_a_server_without_ranges(server, part):
    part.write_bytes(b"x" * 100)
    server.manner = "no ranges"
    assert download(server.url, part).read_bytes() == server.data
