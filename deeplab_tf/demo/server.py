"""Runs the page of `deeplab-tf demo` on this machine; needs Gradio."""

import contextlib
import ipaddress
import signal
import socket
from pathlib import Path
from urllib.parse import quote

import fastapi
import uvicorn
from gradio import mount_gradio_app

from deeplab_tf.data.label_png import encode_label
from deeplab_tf.demo.guard import Guard
from deeplab_tf.demo.labeling import NUMBERS, Labeler, chosen_params
from deeplab_tf.demo.page import build_page, mount_options
from deeplab_tf.demo.results import OPACITY, flagfile
from deeplab_tf.demo.uploads import Uploads
from deeplab_tf.errors import InputError
from deeplab_tf.visualize import encode_picture, overlay_with_legend

# A visitor keeps a connection open, and uses a few more.
MAX_CONNECTIONS = 100


def serve(openers, host, port, folder, announce):
    """Serve the page until the process gets SIGINT or SIGTERM.

    Args:
      openers: dict from the name of each network to a function that opens it as `Network`.
      host: address to listen at.
      port: its port; 0: any that is free.
      folder: for the photographs; the environment's GRADIO_TEMP_DIR must name it, too.
      announce: function that is called with the page's address before the first visitor.

    Raises:
      InputError: if the port cannot be used.
    """
    with _listening(host, port) as sockets:
        uploads = Uploads(folder)
        labeler = Labeler(openers, uploads.decode)
        labeler.warm_up()
        app = Guard(make_app(labeler, uploads), uploads, is_loopback(host))
        options = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        announce(address(host, sockets[0].getsockname()[1]))
        # The server handles both signals, and then raises again what it got.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(options).run(sockets)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


def make_app(labeler, uploads):
    """The page and its downloads as an ASGI application, without `Guard`.

    Args:
      labeler: `Labeler`.
      uploads: `Uploads`; Gradio must store files in its folder.
    """
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/download/{what}")
    def download(what: str, request: fastapi.Request):
        try:
            return _download(labeler, what, dict(request.query_params))
        except InputError as error:
            return fastapi.responses.PlainTextResponse(str(error), status_code=400)

    return mount_gradio_app(app, build_page(labeler, uploads), path="/", **mount_options())


def is_loopback(host):
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address(host, port):
    """The address of the page for a browser on this machine."""
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _download(labeler, what, query):
    photograph, name = query.get("photograph"), query.get("network")
    network = labeler.network(name)
    params = chosen_params(network, [_number(query.get(number)) for number in NUMBERS])
    stem = Path(photograph or "").stem
    if what == "flags":
        return _file(flagfile(network, params).encode(), "text/plain", f"{stem}_crf.flags")
    image, label = labeler.full_size(photograph, name, params)
    label_set = network.label_set
    if what == "labels":
        return _file(encode_label(label, label_set.color_table()), "image/png", f"{stem}.png")
    tinted = overlay_with_legend(image, label, label_set, OPACITY)
    return _file(encode_picture(tinted), "image/png", f"{stem}_overlay.png")


def _number(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        pass
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InputError(f"{text!r} is not a number") from None


def _file(contents, kind, name):
    # Letters beyond ASCII are in the second name, as RFC 6266 has it.
    response = fastapi.Response(contents, media_type=kind)
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)
    response.headers["content-disposition"] = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    )
    return response


@contextlib.contextmanager
def _listening(host, port):
    """Yield a list of the one socket that listens at this address."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(
            f"--host={host}: {error.strerror}; give an address of this machine"
        ) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
            listener.listen()  # visitors who come before the server is ready wait
        except OSError as error:
            raise InputError(
                f"--host={host} --port={port}: {error.strerror}; give another --port, or 0 for any"
            ) from None
        yield [listener]
