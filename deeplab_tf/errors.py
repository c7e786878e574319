"""The exception for everything that a user can fix, and error texts on one line."""

import unicodedata

# Categories of characters that would break a line, or change how a terminal shows it.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


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
