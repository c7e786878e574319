"""The links of Markdown pages, as they are in the repository and as they are on the site."""

import functools
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The folder of the site for files that are no pages, such as a script that a page links to.
SOURCE = "source/"

# A fenced block, or code within a line: what looks like a link in it is none.
_CODE = re.compile(r"(^ *```.*?^ *```[^\n]*$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_TARGET = re.compile(r"\]\(([^)\s]+)\)")
# The same, with the words of the link if they are the name of a page.
_LINK = re.compile(r"(?:(?<!!)\[([\w./-]+\.md)\]|\])\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z]+:")


def prose(markdown):
    """A page without its blocks and words of code."""
    return _CODE.sub("", markdown)


def link_targets(markdown):
    """What the links and pictures of a page name, a list of str; no links to other hosts."""
    return [target for target in _TARGET.findall(prose(markdown)) if not _OUTSIDE.match(target)]


def resolve(origin, target):
    """What a link means.

    Args:
      origin: path of its page in the repository, such as "docs/data.md".
      target: of the link, such as "../README.md#speed".

    Returns:
      The path in the repository and the anchor, both str; the anchor may be "".
    """
    path, _, anchor = target.partition("#")
    if not path:
        return origin, anchor
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), path)), anchor


def anchors(markdown):
    """The anchors that a code host gives to the headings of a page, a list of str."""
    found = []
    without_blocks = re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#{1,6} +(.+?) *$", without_blocks, re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


def site_path(path):
    """Where a file of the repository is on the site if a page links to it.

    Args:
      path: str, relative to the root of the repository.

    Example:
      >>> site_path("README.md"), site_path("docs/crf.md"), site_path("setup.py")
      ('index.md', 'crf.md', 'source/setup.py')
    """
    if path == "README.md":
        return "index.md"
    if path in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        return path.lower()
    folder, name = posixpath.split(path)
    if folder == "deeplab_tf/pretrained" and name.endswith(".md"):
        return f"cards/{name}"
    return path.removeprefix("docs/") if path.startswith("docs/") else SOURCE + path


def to_site(markdown, origin, page):
    """A page with the links that it needs on the site.

    Args:
      markdown: the page, with links that work in the repository.
      origin: its path in the repository.
      page: its path on the site, such as "cards/msrc21.md".

    Returns:
      The page. Where the words of a link are the name of a page, they are its title instead.
    """

    def moved(link):
        words, target = link.groups()
        path, anchor = resolve(origin, target)
        if _OUTSIDE.match(target) or target.startswith("#"):
            return link[0]
        relative = posixpath.relpath(site_path(path), posixpath.dirname(page) or ".")
        start = f"[{page_title(path)}]" if words else "]"
        return f"{start}({relative}#{anchor})" if anchor else f"{start}({relative})"

    # Code is at the odd places, because it is the group of the expression.
    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


@functools.cache
def page_title(path):
    """The first heading of a page of the repository, or its name in words."""
    file = ROOT / path
    headings = (
        re.findall(r"^# (.+)", file.read_text("utf-8"), re.MULTILINE) if file.exists() else []
    )
    return headings[0] if headings else file.stem.replace("_", " ")


def link_pages(text, folder):
    """A text in which names such as docs/crf.md are links with the title of the page.

    Args:
      text: str, a docstring or a help text.
      folder: of the page on the site that has it, such as "commands/".
    """
    up = "../" * folder.count("/")
    return re.sub(
        r"\bdocs/(\w+\.md)\b", lambda name: f"[{page_title(name[0])}]({up}{name[1]})", text
    )


def link_names(markdown, places):
    """A page whose words of code are links to their description where they are public names.

    Args:
      markdown: the page.
      places: dict from a name, such as "crf.refine", to its anchor on the site.
    """
    parts = _CODE.split(markdown)
    for index in range(1, len(parts), 2):
        before, code, after = parts[index - 1 : index + 2]
        place = places.get(code.strip("`").removesuffix("()"))
        in_link = before.endswith("[") or after.startswith("]")
        in_heading = before.rpartition("\n")[2].startswith("#")
        if place and not code.lstrip().startswith("```") and not in_link and not in_heading:
            parts[index] = f"[{code}][{place}]"
    return "".join(parts)
