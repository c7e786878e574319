"""Serves one file at 127.0.0.1, well or badly, for tests of downloads."""

import http.server
import threading

import pytest


class FileServer(http.server.ThreadingHTTPServer):
    """Answers every request with `data`.

    Attributes:
      data: bytes of the file.
      manner: "good"; "no ranges"; "wrong part", a part that was not asked for; "cut", half of what
        is left and the end of the connection; "too much", more than was announced; "redirect" to
        `target`; "silent", no answer until `released` is set.
      ranges: of the requests so far.
    """

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.manner, self.ranges = data, "good", []
        self.target, self.released = "", threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/tiny.tar.gz"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, start = self.server, 0
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.manner == "silent":
            server.released.wait(20)
            return
        if server.manner == "redirect":
            self.send_response(302)
            self.send_header("Location", server.target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if wanted and server.manner != "no ranges":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        rest, sent = server.data[start:], start + (server.manner == "wrong part")
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {sent}-/{len(server.data)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.manner == "cut":
            rest = rest[: max(1, len(rest) // 2)] if len(rest) > 40 else b""
        self.wfile.write(rest + b"more" * (server.manner == "too much"))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = FileServer(bytes(range(256)) * 8)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
