"""A server that answers downloads as a script says, however wrong."""

import contextlib
import socket
import threading
import time


class ScriptedServer:
    """Answers the n-th request with the n-th answer, and all further ones with the last.

    Args:
      answers: list of dicts: "head", the lines before the body; "body", the number of its bytes,
        which are all 120; "pause", seconds before the body; "drip", bytes sent at a time, 0 for
        all of them; whatever has another form is left out.
    """

    def __init__(self, answers):
        self._answers = [answer for answer in answers if isinstance(answer, dict)]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ended = threading.Event()

    def __enter__(self):
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/file"

    def __exit__(self, *_):
        self._ended.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self):
        number = 0
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                connection.recv(1 << 16)
                if self._answers:
                    self._answer(connection, self._answers[min(number, len(self._answers) - 1)])
            number += 1

    def _answer(self, connection, answer):
        head = answer.get("head")
        lines = [str(line) for line in head] if isinstance(head, list) else [str(head)]
        text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        connection.sendall(text.encode("utf-8", "replace"))
        body = b"x" * int(_number(answer.get("body"), 1 << 20))
        self._ended.wait(_number(answer.get("pause"), 1))
        step = int(_number(answer.get("drip"), 1 << 20)) or len(body) or 1
        for start in range(0, len(body), step):
            connection.sendall(body[start : start + step])
            if step < len(body):
                time.sleep(0.01)


def _number(value, most):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(max(value, 0), most) if is_number and value == value else 0
