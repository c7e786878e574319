"""Starts `deeplab-tf demo` as a process, and talks to it as its page in a browser does."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from tiny_model import color_model
from tool_runner import TOOLS

from deeplab_tf.labels import LabelSet

LABELS = LabelSet(("red", "green <b>", "blue"), ((220, 0, 0), (0, 170, 0), (0, 0, 230)))
START_SECONDS = 600
DEFAULTS = (4, 67, 3, 3, 3, 10)  # of the sliders


def save_color_network(folder):
    """A network whose scores are the colors; its classes are red, green and blue."""
    folder.mkdir(parents=True, exist_ok=True)
    color_model(factor=0.04).save(folder / "best.keras")
    LABELS.save(folder / "labels.json")
    return folder


class Demo:
    """A running `deeplab-tf demo`.

    Attributes:
      port: where it listens on this machine.
      process: the process.
      folder: where it keeps photographs.
    """

    def __init__(self, process, port, folder):
        self.process, self.port, self.folder = process, port, folder

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, **headers):
        """Send a request; returns the status, the headers and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def post(self, path, value, **headers):
        """Send JSON."""
        given = {"Content-Type": "application/json", **headers}
        return self.request("POST", path, json.dumps(value).encode(), **given)

    def upload(self, contents, name="photo.png"):
        """Upload a file; returns the status and its path there, or a sentence."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        kind = "Content-Type: application/octet-stream\r\n\r\n"
        body = (head + kind).encode() + contents + f"\r\n--{edge}--\r\n".encode()
        kind = f"multipart/form-data; boundary={edge}"
        status, _, answer = self.request(
            "POST", "/gradio_api/upload", body, **{"Content-Type": kind}
        )
        return status, (json.loads(answer)[0] if status == 200 else answer.decode())

    def event(self, function, *data):
        """Call a function of the page; returns its results, or the status and text of a refusal."""
        session = uuid.uuid4().hex[:11]
        place = self.config["dependencies"][function]
        value = {"data": data, "fn_index": place["id"], "session_hash": session}
        status, _, answer = self.post("/gradio_api/queue/join", value)
        if status != 200:
            return status, answer.decode()
        _, _, stream = self.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        messages = [json.loads(line[6:]) for line in stream.decode().splitlines() if line[6:]]
        (done,) = [each for each in messages if each["msg"] == "process_completed"]
        return done["output"].get("data", done["output"])

    def take(self, contents, name="photo.png", network=None, numbers=DEFAULTS):
        """Upload a photograph and show its results; returns their HTML as one text."""
        status, path = self.upload(contents, name)
        if status != 200:
            return path
        data = self.event(0, file_of(path), network or self.network, *numbers)
        return "".join(part for part in data[-2:] if isinstance(part, str))

    @property
    def config(self):
        return json.loads(self.request("GET", "/config")[2])

    @property
    def network(self):
        """The name of the network that is chosen first."""
        parts = self.config["components"]
        return next(
            one["props"]["value"] for one in parts if one["props"].get("elem_id") == "network"
        )

    def memory(self):
        """Resident memory of the process in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def file_of(path):
    """How the page names an uploaded file in an event."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@contextlib.contextmanager
def running_demo(*arguments, cwd):
    """Start the page, and end it as a service manager does."""
    command = [sys.executable, str(TOOLS / "demo.py"), "--port=0", *map(str, arguments)]
    # A folder of its own for temporary files shows what is left there.
    temporary = Path(cwd) / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    alarm = threading.Timer(START_SECONDS, process.kill)
    alarm.start()
    lines, reader = [], None
    try:
        for line in process.stdout:
            lines.append(line)
            if "the page is at" in line:
                break
        alarm.cancel()
        assert process.poll() is None and lines and "the page is at" in lines[-1], "".join(lines)
        port = int(lines[-1].split()[4].rpartition(":")[2])
        (folder,) = temporary.glob("deeplab-tf-demo-*")
        demo = Demo(process, port, folder)
        # What is printed later must be read, or the process would stop when the pipe is full.
        reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        reader.start()
        yield demo
    finally:
        alarm.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if reader:
            reader.join()
        process.stdout.close()
