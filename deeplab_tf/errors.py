"""The exception for everything that a user can fix, and error texts on one line."""

import errno
import os
import unicodedata

# Categories of characters that would break a line, or change how a terminal shows it.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

_ROOM, _RIGHT = "make room there, or give another folder", "give a folder that can be written"
# What can be wrong with a disk or a folder, and what to do about it.
FAILURES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit of the length of files, or give another folder",
    errno.EROFS: _RIGHT,
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.EIO: "look after the disk, or give a folder on another one",
}

# What libraries say when the system gives no memory, also for threads and parts of programs.
_NO_MEMORY = (
    "OOM when allocating",
    "Failed to allocate",
    "Insufficient memory",
    "Cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "bad_alloc",
)


class InputError(ValueError):
    """The user's input cannot be used; the message is one line: what, where, what to do.

    The commands print this message alone and exit with status 1. Any other exception is a bug
    in this project and keeps its stack trace. Names from a damaged file may hold anything: line
    breaks and other control characters are written as escapes, such as \\n.

    Args:
      message: str.
    """

    def __init__(self, message):
        super().__init__(_visible(str(message)))


def one_line(error, limit=300):
    """The text of an exception on one line, or its class name if it has no text.

    Args:
      error: the exception.
      limit: maximum number of characters to keep; libraries may append whole stack traces.

    Returns:
      str without line breaks.

    Example:
      >>> one_line(OSError("disk full\\n  at write"))
      'disk full at write'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _visible(text):
    """A text in which control characters, and what is no character, are escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _HIDDEN
        else letter
        for letter in text
    )


def system_line(error):
    """The text of an OSError on one line: the place, what is wrong, and what to do if it is known.

    Example:
      >>> system_line(OSError(28, "No space left on device", "scores.json"))
      'scores.json: No space left on device; make room there, or give another folder'
    """
    remedy = FAILURES.get(error.errno)
    if remedy is None:
        return one_line(error, limit=2000)
    place = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    return f"{place}{os.strerror(error.errno)}; {remedy}"


def is_out_of_memory(error):
    """Whether an exception of Python or of a library means that there was not enough memory.

    Example:
      >>> is_out_of_memory(RuntimeError("can't start new thread")), is_out_of_memory(KeyError("a"))
      (True, False)
    """
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)
