"""The guard in front of an application that answers every request with what it got."""

import asyncio
import json

import pytest

from deeplab_tf.demo import guard as guard_module
from deeplab_tf.demo.guard import Guard
from deeplab_tf.demo.uploads import Uploads

LOCAL = {"host": "localhost:7860"}
EVENTS = "/gradio_api/queue/join"


async def echo(scope, receive, send):
    body, more = b"", scope["type"] == "http" and scope["method"] == "POST"
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"app:" + body})


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / ("0" * 64)
    folder.mkdir()
    (folder / "a b.png").write_bytes(b"x")
    return Uploads(tmp_path)


@pytest.fixture
def ask(uploads):
    """A function that sends a request; returns the status, the body and the headers."""

    def ask(method, path, body=b"", headers=LOCAL, is_local=True, app=echo, parts=1):
        sent = []
        size = -(-len(body) // parts) or 1
        pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
        messages = [
            {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)}
            for i, piece in enumerate(pieces)
        ]

        async def receive():
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        asyncio.run(Guard(app, uploads, is_local)(scope, receive, send))
        start, *rest = sent
        text = b"".join(message["body"] for message in rest).decode()
        return start["status"], text, dict(start["headers"])

    return ask


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index-a.b.js", "/static/js/x.js", "/favicon.ico",
     "/gradio_api/queue/data", "/gradio_api/heartbeat/abc1", "/download/labels"],
)  # fmt: skip
def test_the_page_gets_what_it_needs(ask, path):
    assert ask("GET", path)[:2] == (200, "app:")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", path) for path in (
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=http://127.0.0.1:9/",
        "/gradio_api/file/x",
        "/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/info", "/gradio_api/openapi.json",
        "/monitoring", "/login", "/static/../../etc/passwd", "/assets/%2e%2e/x", "/svelte/x",
        "/gradio_api/file=", "/gradio_api/file=.", "/gradio_api/vibe-code", "//etc/passwd",
        "/download/else", "/download/labels/", "/dev/reload", "/gradio_api/deep_link",
        "/gradio_api/custom_component/1/client/component/x.js", "/gradio_api/call/x/y",
    )]
    + [("POST", path) for path in (
        "/gradio_api/run/x", "/gradio_api/api/x", "/gradio_api/call/x", "/gradio_api/vibe-edit",
        "/gradio_api/component_server", "/gradio_api/process_recording",
        "/gradio_api/stream/1", "/", "/login", "/gradio_api/upload/x",
    )]
    + [("PUT", "/"), ("DELETE", "/"), ("OPTIONS", "/"), ("TRACE", "/")],
)  # fmt: skip
def test_everything_else_is_refused(ask, method, path):
    assert ask(method, path)[:2] == (403, "this page has nothing at that address")


def test_an_upload_can_be_seen_again_and_nothing_else(ask, uploads):
    path = f"/gradio_api/file={uploads.folder}/{'0' * 64}"
    assert ask("GET", f"{path}/a b.png")[0] == 200
    for end in ("", "/", "/none.png", "/../0", "/a b.png/.."):
        assert ask("GET", path + end)[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "127.0.0.1:1"}, 200), ({"host": "[::1]:1"}, 200), ({"host": "evil.example"}, 403),
     ({}, 403), ({**LOCAL, "origin": "http://localhost:7860"}, 200),
     ({**LOCAL, "origin": "http://evil.example"}, 403), ({**LOCAL, "origin": "null"}, 403),
     ({**LOCAL, "origin": "http://localhost:1"}, 403), ({"host": "[::1"}, 403),
     ({**LOCAL, "origin": "http://[x"}, 403)],
)  # fmt: skip
def test_other_sites_are_kept_out(ask, headers, status):
    assert ask("GET", "/", headers=headers)[0] == status


def test_for_everybody_any_name_will_do(ask):
    assert ask("GET", "/", headers={"host": "studio.example"}, is_local=False)[0] == 200
    other = {"host": "studio.example", "origin": "http://evil.example"}
    assert ask("GET", "/", headers=other, is_local=False)[0] == 403


def test_an_event_with_an_upload(ask, uploads):
    path = f"{uploads.folder}/{'0' * 64}/a b.png"
    event = {"data": [{"path": path, "url": "http://127.0.0.1:9/", "meta": {"x": 1}}, 4], "id": 1}
    status, text, _ = ask("POST", EVENTS, json.dumps(event).encode(), parts=3)
    assert status == 200
    assert json.loads(text.removeprefix("app:")) == {
        "data": [{"path": path, "meta": {"x": 1}}, 4], "id": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://127.0.0.1:9/x.png", "https://a.example/", "", None, 3, {"a": 1}]
)
@pytest.mark.parametrize("place", ["data", "event_data", "deep"])
def test_an_event_with_another_file(ask, path, place):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = {"data": [], place: [file] if place != "deep" else {"a": [[{"value": file}]]}}
    status, text, _ = ask("POST", EVENTS, json.dumps(event).encode())
    assert (status, text) == (400, "this photograph is not here (any more); choose it again")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 5000])
def test_an_event_that_is_no_json(ask, body):
    assert ask("POST", EVENTS, body)[0] == 400


def test_what_is_too_large(ask, monkeypatch):
    monkeypatch.setattr(guard_module, "MAX_UPLOAD_BYTES", 1000)
    assert ask("POST", "/gradio_api/upload", bytes(1000), parts=7)[:2] == (
        200,
        "app:" + "\0" * 1000,
    )
    status, text, _ = ask("POST", "/gradio_api/upload", bytes(1001), parts=7)
    assert (status, text) == (413, "larger than 30 MB; make the photograph smaller")
    monkeypatch.setattr(guard_module, "MAX_EVENT_BYTES", 10)
    assert ask("POST", EVENTS, b'{"data": []}')[0] == 413


def test_every_answer_forbids_other_sites(ask):
    for path in ("/", "/none"):
        headers = ask("GET", path)[2]
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"
