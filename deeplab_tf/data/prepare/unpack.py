"""Extracting tar and zip archives into a folder, and nowhere else."""

import errno
import functools
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.files import new_folder
from deeplab_tf.untrusted import DAMAGED_ARCHIVE, is_bomb

# Names that the file system refuses: too long, both a file and a folder, or no name at all; EINVAL
# is for places before the beginning of an archive.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL)


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
        except InputError:
            raise
        except DAMAGED_ARCHIVE as error:
            # tarfile appends the error of every compression method that it has tried.
            reason = one_line(error).partition(": - method")[0]
            raise InputError(f"{path}: cut off or damaged ({reason}); download it again") from None
        except OSError as error:
            if error.errno not in _IMPOSSIBLE:
                raise
            what = f"impossible names or places: {error.strerror}"
            raise InputError(f"{path}: damaged ({what}); download it again") from None
        if not any(unfinished.iterdir()):
            raise InputError(f"{path}: contains no files; download it again")
    return folder


def _extract(path, folder):
    members = _zip_members if path.suffix == ".zip" else _tar_members
    size = path.stat().st_size
    unpacked = 0
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
            unpacked = _write(path, folder / relative, open_member(), unpacked)
            bar.update(max(file.tell() - bar.n, 0))


def _write(path, target, contents, unpacked):
    """Write a member; returns how many bytes were unpacked with it.

    Raises:
      InputError: if a small archive becomes gigabytes; see `is_bomb`.
    """
    if contents is None:
        target.mkdir(parents=True, exist_ok=True)
        return unpacked
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = path.stat().st_size
    with contents, target.open("wb") as file:
        while block := contents.read(1 << 20):
            unpacked += len(block)
            if is_bomb(unpacked, packed):
                raise InputError(
                    f"{path}: of {packed:,} bytes, but becomes more than {unpacked:,}; do not use "
                    "this archive"
                )
            file.write(block)
    return unpacked


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
