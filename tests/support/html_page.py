"""Reads HTML pages without a browser."""

import html
import re
from html.parser import HTMLParser

VOID_ELEMENTS = {"img", "input", "meta", "link", "br", "hr"}


class Page(HTMLParser):
    """Collects the elements of a page; fails where they are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def words(text):
    """The text that people see, on one line."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def assert_no_requests(page, text):
    """Fail if the page loads anything by its elements, its style, or despite its policy."""
    for tag, attributes in page.elements:
        for name in ("src", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not page.all("link")
    assert not re.search(r"@import|url\((?!#)", text)
    (policy,) = [
        meta["content"] for meta in page.all("meta") if "Content-Security" in str(meta.values())
    ]
    assert policy.startswith("default-src 'none'; img-src data:")
