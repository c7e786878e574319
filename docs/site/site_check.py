"""Check a built site: its links and anchors, that no page asks another host, its Markdown."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

# Attributes whose files a browser loads by itself; those of <a> only when a reader clicks.
_LOADED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("video", "src"),
}
_OTHER_HOST = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
_NOT_A_FILE = re.compile(r"(?:[a-z]+:)?//|(?:data|javascript|mailto|tel):", re.IGNORECASE)
_IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]+)")
# What the theme's script looks for before it asks another host.
_ASKS = {
    "mermaid": ("class", "mermaid", "the theme takes the program for diagrams from unpkg.com"),
    "source": ("data-md-component", "source", "the theme asks the code host about the repository"),
}
_LEFT_OVER = re.compile(r"```|\]\([^)]*\)|^\s*\|.*\|\s*$|^:::|(?:^|\s)\*\*\w", re.MULTILINE)
_CODE = {"code", "pre", "script", "style", "textarea"}
_VOID_TAGS = {"br", "img", "input", "link", "meta", "source", "hr", "wbr"}


class Page(HTMLParser):
    """What one HTML page contains.

    Attributes:
      ids: set of the anchors.
      links: list of (target, whether the browser loads it by itself).
      faults: list of str: requests to other hosts that the theme would make, Markdown left over.
    """

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.faults = set(), [], []
        self._open = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Take the anchors and links of a tag."""
        attributes = {name: value or "" for name, value in attrs}
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        for name, value in attributes.items():
            if (tag, name) in _LOADED:
                loads = tag != "link" or attributes.get("rel") not in ("canonical", "next", "prev")
                targets = re.split(r"\s+[\d.]+[wx],?\s*", value) if name == "srcset" else [value]
                self.links += [(target, loads) for target in targets if target]
            elif (tag, name) == ("a", "href"):
                self.links.append((value, False))
            elif name == "style":
                self.links += [(target, True) for target in _IN_STYLE.findall(value)]
        for name, word, fault in _ASKS.values():
            if word in attributes.get(name, "").split():
                self.faults.append(fault)
        if tag not in _VOID_TAGS:
            self._open.append(tag)

    def handle_endtag(self, tag):
        """Close a tag, and what it holds."""
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        """Look at a text."""
        if self._open and self._open[-1] == "style":
            self.links += [(target, True) for target in _IN_STYLE.findall(data)]
        elif not _CODE & set(self._open) and (found := _LEFT_OVER.search(data)):
            self.faults.append(f"Markdown in the text: {found[0].strip()!r}")


def check_site(folder):
    """Find what is wrong with a built site.

    Args:
      folder: `pathlib.Path` of the site.

    Returns:
      list of str, a line for each broken link or anchor, each file that a page or style sheet
      would load from another host, and each place where Markdown was left as it is.
    """
    folder = folder.resolve()
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        return [f"{folder}: holds no page"]
    styles = {path: _IN_STYLE.findall(path.read_text("utf-8")) for path in folder.rglob("*.css")}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        faults += [f"{name}: {fault}" for fault in page.faults]
        for target, loads in dict.fromkeys(page.links):
            if fault := _link_fault(path, target, loads, pages, folder):
                faults.append(f"{name}: {fault}")
    for path, targets in styles.items():
        name = path.relative_to(folder)
        faults += [
            f"{name}: {fault}"
            for target in targets
            if (fault := _link_fault(path, target, True, pages, folder))
        ]
    return faults


def _link_fault(path, target, loads, pages, folder):
    """What is wrong with a link; None if nothing is."""
    if loads and _OTHER_HOST.match(target):
        return f"asks another host: {target}"
    if _NOT_A_FILE.match(target):
        return None
    parts = urlsplit(target)
    place, anchor = unquote(parts.path), unquote(parts.fragment)
    base = folder if place.startswith("/") else path.parent
    file = (base / place.lstrip("/")).resolve() if place else path
    if file.is_dir():
        file /= "index.html"
    if not file.is_relative_to(folder) or not file.is_file():
        return f"broken link: {target}"
    if anchor and file in pages and anchor not in pages[file].ids:
        return f"no such anchor: {target}"
    return None
