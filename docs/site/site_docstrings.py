"""An extension of griffe, which reads the docstrings: what it would misread in ours."""

import re

import griffe


class OurStyle(griffe.Extension):
    """Turns "Example:" into the heading that griffe knows, so that `>>>` lines become code."""

    def on_object(self, *, obj, **kwargs):
        """Change the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = our_style(obj.docstring.value)


def our_style(docstring):
    """A docstring as griffe reads it."""
    return re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)
