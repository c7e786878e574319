"""Checks of files that a stranger may have made to do harm."""

import gzip
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

from deeplab_tf.errors import InputError

# What Python raises for tar and zip files that are cut off, damaged, or something else, also for
# impossible numbers, names, offsets and methods of compression. OSError is not included: it may
# mean that a disk is full or cannot be read.
DAMAGED_ARCHIVE = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    RuntimeError, ValueError, OverflowError, LookupError, struct.error,
)  # fmt: skip

# What h5py raises for damaged files, depending on the place of the damage.
DAMAGED_HDF5 = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, MemoryError,
    AttributeError,
)  # fmt: skip

_HARMLESS, _MOST_TIMES = 1 << 30, 200  # bytes; times the size of the archive


def is_bomb(unpacked, packed):
    """Whether an archive of `packed` bytes has so much in it that it was made to fill a disk.

    Real data shrinks less; what is smaller than a gigabyte does no harm.

    Args:
      unpacked: bytes of what is in it.
      packed: bytes of the file.
    """
    return unpacked > _HARMLESS and unpacked > _MOST_TIMES * packed


def check_expansion(archive, path):
    """Raise `InputError` if the members of an open `zipfile.ZipFile` claim too much; see `is_bomb`.

    Args:
      archive: the open file.
      path: its path.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    if is_bomb(unpacked, Path(path).stat().st_size):
        raise InputError(
            f"{path}: a small file that claims to hold {unpacked:,} bytes; do not use it"
        )


def parse_json(text):
    """What a JSON document holds.

    Args:
      text: str or bytes.

    Raises:
      ValueError: if it is no JSON, or has so many levels that no program of ours wrote it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists within lists, too deep to be read") from None
