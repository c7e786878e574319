"""The one exception for what a user can mend."""


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line: what, where, what to do.

    The tools print this message alone and exit with status 1. Anything else that is raised is
    a defect of ours and keeps its stack trace.
    """
