"""The navigation of the site, and its pages from outside docs/."""

import re

from site_links import ROOT
from site_pages import NAV, fill_nav, pages_of_docs, pages_outside_docs


def paths(nav):
    values = [entry if isinstance(entry, str) else next(iter(entry.values())) for entry in nav]
    return [
        path for value in values for path in (paths(value) if isinstance(value, list) else [value])
    ]


def test_patterns_take_the_pages_that_nothing_else_names():
    nav = ["a.md", {"B": ["b.md", {"More": "*"}]}, {"C": "c/*"}]
    pages = ["c/index.md", "c/1.md", "a.md", "b.md", "new.md"]
    assert fill_nav(nav, pages) == [
        "a.md",
        {"B": ["b.md", {"More": ["new.md"]}]},
        {"C": ["c/index.md", "c/1.md"]},
    ]


def test_a_pattern_without_pages_is_left_out():
    assert fill_nav(["a.md", {"More": "*"}, {"C": "c/*"}], ["a.md"]) == ["a.md"]


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page():
    # The pages of commands and names are under patterns of their own.
    pages = [*pages_outside_docs(), *pages_of_docs()]
    docs = ROOT / "docs"
    assert {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} < set(pages)
    assert sorted(paths(fill_nav(NAV, pages))) == sorted(pages)


def test_every_section_of_the_readme_is_on_one_page():
    pages = pages_outside_docs()
    sections = re.findall(r"^## .+", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    for section in sections:
        assert (pages["index.md"] + pages["contributing.md"]).splitlines().count(section) == 1
    assert "## Where is what" in pages["contributing.md"]
    assert "# DeepLab for TensorFlow" in pages["index.md"].splitlines()


def test_the_cards_of_the_networks_are_pages():
    assert "\n# msrc21" in f"\n{pages_outside_docs()['cards/msrc21.md']}"
