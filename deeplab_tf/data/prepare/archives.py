"""Archives as their authors publish them: found or downloaded, checked, and safely extracted."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from deeplab_tf.data.prepare.download import download
from deeplab_tf.data.prepare.unpack import extracted
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder

BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Archive:
    """One file of a data set's authors.

    Args:
      file_name: what it is called in --manual_dir; not always what its address ends with.
      url: where it can be downloaded; "" where only a person can, after a login.
      checksum: "sha256:..." or "md5:..." of the original; "" where nobody has published one.
      size: its size in bytes; None where unknown.
      page: where a person gets it, for messages; needed where there is no `url`.
    """

    file_name: str
    url: str = ""
    checksum: str = ""
    size: int | None = None
    page: str = ""

    @property
    def algorithm(self):
        """Name of the checksum's algorithm, for hashlib; sha256 where there is no checksum."""
        return self.checksum.partition(":")[0] or "sha256"

    @property
    def digest(self):
        """The checksum's hexadecimal digits; "" where there is none."""
        return self.checksum.partition(":")[2]


def unpacked(archive, download_dir, manual_dir=None, trust=False):
    """The folder that holds the contents of an archive, extracted now or by an earlier run.

    Args:
      archive: `Archive`.
      download_dir: folder for what is downloaded; the contents go into `extracted` in it.
      manual_dir: folder of archives that a person has downloaded; looked into first.
      trust: whether an archive with another checksum or size than the original's is taken.

    Returns:
      Path of the folder.

    Raises:
      InputError: where the archive is missing and cannot be downloaded, is not the original,
        is damaged, or would write outside the folder.
    """
    with lock_folder(Path(download_dir) / "extracted") as folder:
        known = folder / _contents_name(archive, archive.digest)
        if not trust and archive.digest and known.is_dir():
            return known  # the archive itself may have been deleted since
        path, digest = locate(archive, download_dir, manual_dir, trust)
        return extracted(path, folder / _contents_name(archive, digest))


def known_contents(archive, download_dir, manual_dir=None, trust=False):
    """The name of the folder that `unpacked` would give, without downloading or extracting.

    It names the archive and begins its checksum, so it differs for another archive.

    Args:
      archive, download_dir, manual_dir, trust: as in `unpacked`.

    Returns:
      The name; "" where nobody can tell, because the archive is no longer there.
    """
    if archive.digest and not trust:
        return _contents_name(archive, archive.digest)
    path = _find(archive, _folders(download_dir, manual_dir))
    return _contents_name(archive, _digest(path, archive.algorithm)) if path else ""


def locate(archive, download_dir, manual_dir=None, trust=False):
    """Find an archive in `manual_dir` or `download_dir`, or else download it; then check it.

    Args:
      archive, download_dir, manual_dir, trust: as in `unpacked`.

    Returns:
      (Path of the file, its checksum's hexadecimal digits).

    Raises:
      InputError: where it cannot be had, or is not the original.
    """
    if manual_dir and not Path(manual_dir).is_dir():
        raise InputError(f"{manual_dir}: no such folder; check --manual_dir")
    folders = _folders(download_dir, manual_dir)
    path = _find(archive, folders)
    if path is None:
        return _downloaded(archive, Path(download_dir), folders[0], trust)
    return path, _checked_digest(path, archive, trust)


def _folders(download_dir, manual_dir):
    return [Path(folder) for folder in (manual_dir, download_dir) if folder]


def _find(archive, folders):
    paths = (folder / archive.file_name for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _downloaded(archive, download_dir, searched, trust):
    name = archive.file_name
    if not archive.url:
        raise InputError(
            f"{searched / name}: no such file; download it yourself from {archive.page},"
            f" save it as {name}, and give its folder as --manual_dir"
        )
    partial = download(archive.url, download_dir / f"{name}.part")
    try:
        digest = _checked_digest(partial, archive, trust)
    except InputError as error:
        partial.unlink()  # going on from here would never help
        raise InputError(f"{archive.url}: {error}") from None
    return partial.replace(download_dir / name), digest


def _checked_digest(path, archive, trust):
    size = path.stat().st_size
    remedy = "download it again, or give --trust_archives if it was packed anew on purpose"
    if not trust and archive.size not in (None, size):
        raise InputError(
            f"{path}: {size} bytes, but the original has {archive.size}; it is cut off or another"
            f" file: {remedy}"
        )
    digest = _digest(path, archive.algorithm)
    if not trust and archive.digest not in ("", digest):
        raise InputError(
            f"{path}: its {archive.algorithm} is {digest}, but the original's {archive.digest};"
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
