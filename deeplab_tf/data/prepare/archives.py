"""The archives that authors of data sets publish: found or downloaded, checked, and extracted."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from deeplab_tf.data.prepare.unpack import extracted
from deeplab_tf.download import download
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder

BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Archive:
    """One file that the authors of a data set publish.

    Args:
      file_name: its name in --manual_dir; its URL may end differently.
      url: where it can be downloaded; "" if only a person can, after a login.
      checksum: "sha256:..." or "md5:..." of the original; "" if nobody has published one.
      size: its size in bytes; None if unknown.
      page: the web page where a person gets it, for messages; needed if there is no `url`.
    """

    file_name: str
    url: str = ""
    checksum: str = ""
    size: int | None = None
    page: str = ""

    @property
    def algorithm(self):
        """Name of the checksum's algorithm, for hashlib; sha256 if there is no checksum."""
        return self.checksum.partition(":")[0] or "sha256"

    @property
    def digest(self):
        """The checksum's hexadecimal digits; "" if there is none."""
        return self.checksum.partition(":")[2]


def unpacked(archive, download_dir, manual_dir=None, trust=False):
    """The folder with the contents of an archive, extracted now or by an earlier run.

    Args:
      archive: `Archive`.
      download_dir: folder for downloads; the contents go into its subfolder `extracted`.
      manual_dir: folder of archives that a person has downloaded; searched first.
      trust: whether to accept an archive whose checksum or size is not the original's.

    Returns:
      Path of the folder.

    Raises:
      InputError: if the archive is missing and cannot be downloaded, is not the original, is
        damaged, or would write outside the folder.
    """
    with lock_folder(Path(download_dir) / "extracted") as folder:
        known = folder / _contents_name(archive, archive.digest)
        if not trust and archive.digest and known.is_dir():
            return known  # even if the archive has been deleted since
        path, digest = locate(archive, download_dir, manual_dir, trust)
        return extracted(path, folder / _contents_name(archive, digest))


def known_contents(archive, download_dir, manual_dir=None, trust=False):
    """The name of the folder that `unpacked` would return, without downloading or extracting.

    It is the archive's name with the start of its checksum, so it differs for another archive.

    Args:
      archive, download_dir, manual_dir, trust: as in `unpacked`.

    Returns:
      The name; "" if it is unknown, because the archive is no longer there.
    """
    if archive.digest and not trust:
        return _contents_name(archive, archive.digest)
    path = _find(archive, download_dir, manual_dir)
    return _contents_name(archive, _digest(path, archive.algorithm)) if path else ""


def locate(archive, download_dir, manual_dir=None, trust=False):
    """Find an archive in `manual_dir` or `download_dir`, or download it; then check it.

    Args:
      archive, download_dir, manual_dir, trust: as in `unpacked`.

    Returns:
      (Path of the file, hexadecimal digits of its checksum).

    Raises:
      InputError: if it is missing and cannot be downloaded, or is not the original.
    """
    if manual_dir and not Path(manual_dir).is_dir():
        raise InputError(f"{manual_dir}: no such folder; check --manual_dir")
    if path := _find(archive, download_dir, manual_dir):
        return path, _checked_digest(path, archive, trust)
    name = archive.file_name
    if not archive.url:
        raise InputError(
            f"{Path(manual_dir or download_dir, name)}: no such file; download it yourself from"
            f" {archive.page}, save it as {name}, and give its folder as --manual_dir"
        )
    partial = download(archive.url, Path(download_dir, f"{name}.part"))
    try:
        digest = _checked_digest(partial, archive, trust)
    except InputError as error:
        partial.unlink()  # the next run would only append to it
        raise InputError(f"{archive.url}: {error}") from None
    return partial.replace(Path(download_dir, name)), digest


def _find(archive, download_dir, manual_dir):
    # The Path of the file; None if neither folder has it.
    paths = (Path(folder, archive.file_name) for folder in (manual_dir, download_dir) if folder)
    return next((path for path in paths if path.is_file()), None)


def _checked_digest(path, archive, trust):
    size = path.stat().st_size
    remedy = "download it again, or give --trust_archives if it was repacked on purpose"
    if not trust and archive.size not in (None, size):
        raise InputError(
            f"{path}: {size} bytes, but the original has {archive.size}; it is cut off or another"
            f" file: {remedy}"
        )
    digest = _digest(path, archive.algorithm)
    if not trust and archive.digest not in ("", digest):
        raise InputError(
            f"{path}: its {archive.algorithm} is {digest}, but the original's is {archive.digest};"
            f" {remedy}"
        )
    return digest


def _digest(path, algorithm):
    state = hashlib.new(algorithm)
    size = path.stat().st_size
    bar = tqdm(total=size, desc=f"checking {path.name}", unit="B", unit_scale=True, leave=False)
    with bar, path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
            bar.update(len(block))
    return state.hexdigest()


def _contents_name(archive, digest):
    # Another archive of the same name gets another folder.
    return f"{archive.file_name}.{digest[:12]}"
