"""Files on this machine or in a store: S3 and Google Cloud Storage, through pyarrow.

A place is a path, or a URL such as s3://BUCKET/KEY, gs://BUCKET/KEY or file:///PATH. Credentials
are those of the environment. A file appears when it is complete, also in a store.
"""

import functools
import time
from pathlib import Path

from deeplab_tf.data.examples import read_file
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.files import write_file
from deeplab_tf.scale.session import import_pyarrow

TRIES = 3
SECONDS_BEFORE_A_TRY = 1.0


def is_url(place):
    """Whether a place is a URL."""
    return "://" in str(place)


def join(folder, name):
    """The place of a name, which may hold slashes, in a folder."""
    return f"{str(folder).rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def open_place(place):
    """The file system of pyarrow that holds a place, and its path there.

    Raises:
      InputError: if there is no such store, or it cannot be reached.
    """
    fs = import_pyarrow("pyarrow.fs")
    if not is_url(place):
        return fs.LocalFileSystem(), str(Path(place).absolute())
    scheme, _, rest = str(place).partition("://")
    bucket, slash, path = rest.partition("/")
    filesystem, found = _filesystem(f"{scheme}://{bucket}")
    return filesystem, f"{found}{slash}{path}" if found else f"{slash}{path}"


@functools.lru_cache(maxsize=32)  # each makes connections of its own
def _filesystem(root):
    fs = import_pyarrow("pyarrow.fs")
    if root == "file://":
        return fs.LocalFileSystem(), ""
    try:
        return fs.FileSystem.from_uri(root)
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{root}: cannot be opened ({one_line(error, 200)}); give a path, or a URL of s3:// or "
            "gs://"
        ) from None


def is_file(place):
    """Whether a place is a file."""
    filesystem, path = open_place(place)
    return filesystem.get_file_info(path).is_file


def read_place(place):
    """The contents of a file; a store is asked again if it fails.

    Raises:
      InputError: naming the file that cannot be read.
    """
    if not is_url(place):
        return read_file(place)
    filesystem, path = open_place(place)
    for number in range(1, TRIES + 1):
        try:
            with filesystem.open_input_stream(path) as stream:
                return stream.read()
        except FileNotFoundError:
            raise InputError(f"{place}: no such file; check the URL") from None
        except OSError as error:
            if number == TRIES:
                raise InputError(
                    f"{place}: cannot be read ({one_line(error, 200)}); check the URL and the "
                    "credentials"
                ) from None
            time.sleep(number * SECONDS_BEFORE_A_TRY)


def write_place(place, contents):
    """Write a file as a whole; missing folders are made.

    Args:
      place: path or URL.
      contents: bytes.

    Raises:
      OSError: if it cannot be written.
    """
    if not is_url(place):
        write_file(place, contents)
        return
    filesystem, path = open_place(place)
    if str(place).startswith("file://"):
        write_file(path, contents)
        return
    with filesystem.open_output_stream(path) as stream:
        stream.write(contents)


def files_below(folder):
    """The files in a folder and its folders, without hidden ones.

    Args:
      folder: path or URL.

    Returns:
      Sorted list of paths relative to it; empty if there is no such folder.
    """
    fs = import_pyarrow("pyarrow.fs")
    filesystem, path = open_place(folder)
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    found = [info.path for info in filesystem.get_file_info(selector) if info.is_file]
    names = [one[len(path.rstrip("/")) + 1 :] for one in found]
    return sorted(name for name in names if not any(p.startswith(".") for p in name.split("/")))
