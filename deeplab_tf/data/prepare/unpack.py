"""Extracting tar and zip archives into a folder, and nowhere else."""

import functools
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.files import new_folder

# What Python raises for a file that is not an archive, is cut off or was changed. OSError is not
# included: it means that a disk is full or cannot be read.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    RuntimeError,  # from zipfile, for unknown compression methods and for passwords
)


def extracted(path, folder):
    """Extract an archive into a folder, which appears only when it is complete.

    Only plain files and folders are accepted: data sets need no links, and without links nothing
    can be written through one. Owners, permissions and times are those of new files.

    Args:
      path: a .zip file, or a tar file, compressed or not.
      folder: where its contents go; if it exists, an earlier run completed it, and the archive
        is not read.

    Returns:
      `folder`, as Path.

    Raises:
      InputError: if the archive is cut off, damaged or empty, or if a member would lie outside
        the folder or is a link or a device.
    """
    path, folder = Path(path), Path(folder)
    if folder.is_dir():
        return folder
    with new_folder(folder) as unfinished:
        try:
            _extract(path, unfinished)
        except DAMAGE as error:
            # tarfile appends the error of every compression method that it has tried.
            reason = one_line(error).partition(": - method")[0]
            raise InputError(f"{path}: cut off or damaged ({reason}); download it again") from None
        if not any(unfinished.iterdir()):
            raise InputError(f"{path}: contains no files; download it again")
    return folder


def _extract(path, folder):
    members = _zip_members if path.suffix == ".zip" else _tar_members
    size = path.stat().st_size
    bar = tqdm(total=size, desc=f"extracting {path.name}", unit="B", unit_scale=True, leave=False)
    with bar, path.open("rb") as file:
        for name, is_plain, open_member in members(file):
            if not is_plain:
                what = "is a link or a device"
                raise InputError(f"{path}: its member {name!r} {what}; do not use this archive")
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                what = "would lie outside the folder"
                raise InputError(f"{path}: its member {name!r} {what}; do not use this archive")
            _write(folder / relative, open_member())
            bar.update(max(file.tell() - bar.n, 0))


def _write(target, contents):
    if contents is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contents, target.open("wb") as file:
        shutil.copyfileobj(contents, file, 1 << 20)


# Both yield (name, whether it is a plain file or a folder, a function that opens the contents); for
# a folder that function returns None.


def _tar_members(file):
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            is_plain = member.isreg() or member.isdir()
            yield member.name, is_plain, functools.partial(archive.extractfile, member)
        # tarfile accepts a file that is cut off between two members. Only the block of zeros at the
        # end shows that none is missing, and the checksum of a compressed file is only compared
        # when the file is read to its end.
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end of archive")
        while archive.fileobj.read(1 << 20):
            pass


def _zip_members(file):
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            is_plain = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
            read = functools.partial(archive.open, member)
            yield member.filename, is_plain, (lambda: None) if member.is_dir() else read
