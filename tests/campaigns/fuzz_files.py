"""Files as bytes that are the same whenever they are made, for the seeds of the campaign."""

import io
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def written(write, *arguments):
    """What `write(folder, *arguments)` writes into a folder, as {name: bytes}."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *arguments)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: undated(contents) for name, contents in found.items()}


def undated(contents):
    """A file without the time at which it was written."""
    if contents.startswith(b"PK\3\4"):
        return zipped({name: undated(data) for name, data in members_of(contents).items()})
    if contents.startswith(b"MATLAB"):
        return b"MATLAB 5.0 MAT-file".ljust(116) + contents[116:]
    return re.sub(rb'("date_saved": ")[^"]*', rb"\1never", contents)


def members_of(contents):
    """{name: bytes} of the members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(members, kind=zipfile.ZIP_STORED):
    """A zip file of {name: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, contents in members.items():
            archive.writestr(zipfile.ZipInfo(name), contents, kind)
    return file.getvalue()


def tarred(members, kind="w"):
    """A tar file of {name: bytes, or a link's target as str}."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=kind) as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(contents, str):
                info.type, info.linkname, contents = tarfile.SYMTYPE, contents, b""
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return file.getvalue()


def saved(image, kind, **options):
    """An array as Pillow saves it."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, kind, **options
    )
    return file.getvalue()


def array(values):
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()
