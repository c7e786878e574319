"""An extension of griffe, which reads the docstrings: what it would show badly of ours."""

import re
import textwrap

import griffe
from site_links import link_names
from site_reference import anchors, short_names

_TEXT_SECTION = re.compile(r"^(Returns|Yields):\n((?:  .*(?:\n|$)|\n(?=  ))+)", re.MULTILINE)


class OurStyle(griffe.Extension):
    """Adapts every docstring, and links the public names in it to their description."""

    def __init__(self):
        super().__init__()
        self.places = short_names() | anchors()

    def on_object(self, *, obj, **kwargs):
        """Change the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = link_names(our_style(obj.docstring.value), self.places)


def our_style(docstring):
    """A docstring as griffe reads it.

    "Example:" becomes the heading that makes code of the `>>>` lines. What is returned becomes
    plain text: without type annotations griffe would make it a list of one item without a name.
    """
    docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)
    return _TEXT_SECTION.sub(
        lambda found: f"**{found[1]}:**\n\n{textwrap.dedent(found[2]).strip()}\n\n", docstring
    ).rstrip()
