"""Downloading one file: with a progress bar, and resuming where an earlier run was cut off."""

import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from deeplab_tf.errors import InputError, one_line

BLOCK = 1 << 20  # bytes read at a time
TIMEOUT = 60  # seconds without an answer
MOST_LITTLE = 20  # attempts in a row that may bring less than a block each


class _Interrupted(Exception):
    """The connection failed; the message is the reason."""


def download(url, path, remedy=None):
    """Download a file, or the rest of it if `path` already holds its beginning.

    A broken connection is opened again as long as each attempt transfers something, and some of
    them a megabyte. If the download fails, `path` keeps what has arrived, and the next call resumes
    from there.

    Args:
      url: http, https, ftp or file URL.
      path: the file to write; its name without the last suffix is that of the finished file.
      remedy: what to do if the download fails, the end of the message; None: --manual_dir.

    Returns:
      `path`, as Path; the caller must check whether its contents are right.

    Raises:
      InputError: if the URL cannot be reached or the connection keeps breaking.
    """
    path = Path(path)
    remedy = remedy or (
        f"download it yourself, save it as {path.stem}, and give its folder as --manual_dir"
    )
    with tqdm(desc=f"downloading {path.stem}", unit="B", unit_scale=True, leave=False) as bar:
        little = 0
        while True:
            size = _size(path)
            try:
                _append(url, path, bar)
                return path
            except _Interrupted as reason:
                # A server that sends a byte at a time would keep us for ever.
                little = little + 1 if _size(path) - size < BLOCK else 0
                if _size(path) <= size or little > MOST_LITTLE:
                    raise InputError(
                        f"{path.stem}: cannot be downloaded from {url} ({one_line(reason)});"
                        f" {remedy}"
                    ) from None


def _append(url, path, bar):
    with _Response(url, _size(path)) as response:
        bar.reset(response.total)
        bar.update(response.start)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if response.start else "wb") as file:
            while block := response.read():
                file.write(block)
                bar.update(len(block))
    if response.total is None:
        return
    if _size(path) > response.total:
        path.unlink()  # resuming would only make it longer
        raise _Interrupted(f"the server sent more than the {response.total} bytes it announced")
    if _size(path) < response.total:
        raise _Interrupted(f"the connection broke after {_size(path)} of {response.total} bytes")


class _Response:
    """A server's answer from byte `start` on.

    Every network failure becomes `_Interrupted`, so that an OSError that the caller sees comes from
    writing the file, such as a full disk.
    """

    def __init__(self, url, start):
        headers = {"User-Agent": "deeplab-tf", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            request = urllib.request.Request(url, headers=headers)
            self.answer = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            # Status 416, "range not satisfiable": the file ends where our part does, so it is
            # complete.
            if error.code != 416 or error.headers.get("Content-Range") != f"bytes */{start}":
                with error:
                    raise _Interrupted(f"HTTP status {error.code}: {error.reason}") from None
            self.answer = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Interrupted(getattr(error, "reason", None) or error) from None
        # A server that does not support ranges answers 200 and sends everything again.
        self.start = start if self.answer.status in (206, 416) else 0
        sent = self.answer.headers.get("Content-Range")
        if self.answer.status == 206 and sent and not sent.startswith(f"bytes {start}-"):
            self.answer.close()
            raise _Interrupted(f"the server sent another part ({sent}) than asked for")
        length = self.answer.headers.get("Content-Length", "")
        # As http.client does, take what is no number for no length at all.
        has_length = re.fullmatch(r"[0-9]{1,18}", length) and self.answer.status != 416
        self.total = self.start + int(length) if has_length else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.answer.close()

    def read(self):
        """The next block of bytes; b"" at the end."""
        if self.answer.status == 416:
            return b""
        try:
            return self.answer.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(error) from None


def _size(path):
    return path.stat().st_size if path.is_file() else 0
