"""Extracting tar and zip archives into a folder, and nowhere else."""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder

# What the readers raise for contents that are no such archive, cut off or changed. OSError is
# not among them: that is a disk that is full or cannot be read.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    RuntimeError,  # zipfile's, for methods that it does not know and for passwords
)


def extracted(path, folder):
    """Extract an archive into a folder, which appears only when it is complete.

    Only plain files and folders are taken: data sets need no links, and without them nothing
    can be written through one. Owners, permissions and times are those of new files.

    Args:
      path: a .zip file, or a tar file, compressed or not.
      folder: where its contents go; where it exists, an earlier run has completed it, and the
        archive is not read.

    Returns:
      `folder`, as Path.

    Raises:
      InputError: where the archive is cut off, damaged or empty, or where a member would lie
        outside the folder or is a link or a device.
    """
    path, folder = Path(path), Path(folder)
    if folder.is_dir():
        return folder
    with new_folder(folder) as unfinished:
        try:
            _extract(path, unfinished)
        except DAMAGE as error:
            reason = str(error).partition(":\n")[0]
            raise InputError(f"{path}: cut off or damaged ({reason}); download it again") from None
        if not any(unfinished.iterdir()):
            raise InputError(f"{path}: holds no file; download it again")
    return folder


def _extract(path, folder):
    members = _zip_members if path.suffix == ".zip" else _tar_members
    size = path.stat().st_size
    bar = tqdm(total=size, desc=f"extracting {path.name}", unit="B", unit_scale=True, leave=False)
    with bar, path.open("rb") as file:
        for name, contents in members(file):
            target = _inside(path, folder, name)
            _write(target, contents)
            bar.update(max(file.tell() - bar.n, 0))


def _write(target, contents):
    if contents is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contents, target.open("wb") as file:
        shutil.copyfileobj(contents, file, 1 << 20)


def _inside(path, folder, name):
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(
            f"{path}: its member {name!r} would lie outside the folder; do not use this archive"
        )
    return folder / parts


def _tar_members(file):
    # Yields (name, contents to read, or None for a folder).
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            if not (member.isreg() or member.isdir()):
                raise _link_error(file, member.name)
            yield member.name, archive.extractfile(member)
        _check_end(archive)


def _check_end(archive):
    # tarfile takes the end of the file for the end of the archive. Only the block of zeros there
    # tells that nothing is missing; and only a compressed file read to its end is checked.
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end of archive")
    while archive.fileobj.read(1 << 20):
        pass


def _zip_members(file):
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _link_error(file, member.filename)
            yield member.filename, None if member.is_dir() else archive.open(member)


def _link_error(file, name):
    return InputError(
        f"{file.name}: its member {name!r} is a link or a device; do not use this archive"
    )
