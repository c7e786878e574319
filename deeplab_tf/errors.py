"""The exception for everything that a user can fix, and error texts on one line."""


class InputError(ValueError):
    """The user's input cannot be used; the message is one line: what, where, what to do.

    The commands print this message alone and exit with status 1. Any other exception is a bug
    in this project and keeps its stack trace.
    """


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
