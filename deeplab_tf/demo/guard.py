"""Lets only the requests of the page itself through to Gradio.

Gradio has routes that the page does not need, among them some that fetch addresses for a visitor,
and its events take files by any path. Here everything is refused that is not known to be needed.
"""

import json
import re
from urllib.parse import urlsplit

from deeplab_tf.demo.uploads import MAX_FILE_BYTES
from deeplab_tf.errors import InputError

MAX_EVENT_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + 64 * 1024  # with what a form adds to a file

_GET = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/[\w.@-]+(/[\w.@-]+)*"
    r"|/gradio_api/(startup-events|app_id|theme\.css|queue/data|upload_progress)"
    r"|/gradio_api/heartbeat/\w+|/download/(labels|overlay|flags)"
)
_FILE = "/gradio_api/file="
_EVENTS, _UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"
_POST = (_EVENTS, _UPLOAD, "/gradio_api/reset", "/gradio_api/cancel")

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    # The page's scripts and styles are partly in its HTML, and Gradio's templates are evaluated.
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:; "
    "object-src 'none'; frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Guard:
    """An ASGI application in front of another one.

    Args:
      app: the ASGI application.
      uploads: `Uploads`.
      is_local: whether the server can be reached from this machine alone. Then requests must name
        it, so that no other site can give its own name to this machine's address.
    """

    def __init__(self, app, uploads, is_local):
        self._app, self._uploads, self._is_local = app, uploads, is_local

    async def __call__(self, scope, receive, send):
        """Handle a request, see the ASGI specification."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        send = _with_headers(send)
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        method, path = scope["method"], scope["path"]
        if not self._is_own(headers) or not self._is_known(method, path):
            return await _answer(send, 403, "this page has nothing at that address")
        if method != "POST":
            return await self._app(scope, receive, send)
        limit = MAX_UPLOAD_BYTES if path == _UPLOAD else MAX_EVENT_BYTES
        body = await _read(receive, limit)
        if body is None:
            too_large = f"larger than {MAX_FILE_BYTES // 2**20} MB; make the photograph smaller"
            return await _answer(send, 413, too_large)
        if path == _EVENTS:
            try:
                body = self._checked_event(body)
            except (InputError, ValueError, RecursionError) as error:
                return await _answer(send, 400, str(error))
            length = (b"content-length", str(len(body)).encode())
            others = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
            scope = {**scope, "headers": [*others, length]}
        await self._app(scope, _replayed(body, receive), send)
        if path == _UPLOAD:
            self._uploads.trim()
        return None

    def _is_own(self, headers):
        host = headers.get("host", "")
        origin = headers.get("origin")  # browsers tell which site a request comes from
        try:
            if self._is_local and urlsplit(f"//{host}").hostname not in _LOCAL_NAMES:
                return False
            return origin is None or urlsplit(origin).netloc == host
        except ValueError:  # no address, such as "[::1"
            return False

    def _is_known(self, method, path):
        if method == "POST":
            return path in _POST
        if method not in ("GET", "HEAD") or ".." in path:
            return False
        if not path.startswith(_FILE):
            return bool(_GET.fullmatch(path))
        try:
            return bool(self._uploads.name_of(path.removeprefix(_FILE)))
        except InputError:
            return False

    def _checked_event(self, body):
        """The body of an event in which files are uploaded ones, without addresses to fetch."""
        return json.dumps(self._checked(json.loads(body))).encode()

    def _checked(self, value):
        if isinstance(value, list):
            return [self._checked(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "path" in value:
            self._uploads.name_of(value["path"])
        return {key: self._checked(each) for key, each in value.items() if key != "url"}


def _with_headers(send):
    async def send_with_headers(message):
        if message["type"] == "http.response.start":
            own = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return send_with_headers


async def _read(receive, limit):
    """The body of a request; None if it has more than `limit` bytes."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        size += len(message.get("body", b""))
        # What is too large is read to its end, but not kept: clients listen only after sending.
        if size <= limit:
            parts.append(message.get("body", b""))
        else:
            parts.clear()
    return b"".join(parts) if size <= limit else None


def _replayed(body, receive):
    """`receive` that gives this body first."""
    given = False

    async def receive_again():
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _answer(send, status, sentence):
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
