"""Links in the repository and on the site; those of all pages lead somewhere."""

import pytest
from site_links import (
    ROOT,
    anchors,
    link_names,
    link_pages,
    link_targets,
    page_title,
    resolve,
    to_site,
)

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deeplab_tf" / "pretrained").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_anchors_that_a_page_links_to_exist(page):
    origin = page.relative_to(ROOT).as_posix()
    for target in link_targets(page.read_text("utf-8")):
        path, anchor = resolve(origin, target)
        assert (ROOT / path).is_file(), f"{origin}: {target} is no file, so the site cannot have it"
        assert not anchor or anchor in anchors((ROOT / path).read_text("utf-8")), target


def test_links_are_found_outside_of_code_only():
    page = (
        "[a](a.md) `[b](b.md)` ![c](c.png)\n```\n[d](d.md)\n```\n[e](https://e.org) [f\ng](g.md#h)"
    )
    assert link_targets(page) == ["a.md", "c.png", "g.md#h"]


def test_anchors_are_those_of_a_code_host():
    page = (
        "# A `b_c` of D's e-f\n```\n# no heading\n```\n## Same\n### Same\n#### [Link](x.md) / end\n"
    )
    assert anchors(page) == ["a-b_c-of-ds-e-f", "same", "same-1", "link--end"]


def test_a_link_means_a_path_in_the_repository():
    assert resolve("docs/a.md", "../README.md#speed") == ("README.md", "speed")
    assert resolve("docs/a.md", "b/c.json") == ("docs/b/c.json", "")
    assert resolve("docs/a.md", "#here") == ("docs/a.md", "here")


@pytest.mark.parametrize(
    ("origin", "page", "link", "expected"),
    [
        ("README.md", "index.md", "![p](docs/p.png)", "![p](p.png)"),
        ("README.md", "index.md", "[crf](docs/crf.md#engines)", "[crf](crf.md#engines)"),
        ("docs/a.md", "a.md", "[start](../README.md#speed)", "[start](index.md#speed)"),
        ("docs/a.md", "a.md", "[c](../CONTRIBUTING.md)", "[c](contributing.md)"),
        ("docs/a.md", "a.md", "[x](../deeplab_tf/pretrained/x.md)", "[x](cards/x.md)"),
        ("deeplab_tf/pretrained/x.md", "cards/x.md", "[d](../../docs/d.md)", "[d](../d.md)"),
        ("docs/a.md", "a.md", "[s](../setup.py)", "[s](source/setup.py)"),
        ("docs/b/a.md", "b/a.md", "[s](../../tools/t.py)", "[s](../source/tools/t.py)"),
        ("docs/a.md", "a.md", "[w](https://w.org/a.md)", "[w](https://w.org/a.md)"),
        ("docs/a.md", "a.md", "[here](#there)", "[here](#there)"),
        ("README.md", "index.md", "`[crf](docs/crf.md)`", "`[crf](docs/crf.md)`"),
    ],
)
def test_a_link_on_the_site(origin, page, link, expected):
    assert to_site(f"See {link}.", origin, page) == f"See {expected}."


def test_words_that_name_a_page_become_its_title():
    assert page_title("docs/crf.md") == "The fully connected CRF"
    assert page_title("docs/ablation_table.md") == "ablation table"
    page = to_site("[docs/crf.md](docs/crf.md#engines)", "README.md", "index.md")
    assert page == "[The fully connected CRF](crf.md#engines)"
    text = link_pages("see docs/crf.md, and docs/x/y.md", "commands/")
    assert text == "see [The fully connected CRF](../crf.md), and docs/x/y.md"


def test_public_names_become_links():
    places = {"crf.refine": "crf.refine", "refine": "crf.refine"}
    assert link_names("`crf.refine` or `refine()`", places) == (
        "[`crf.refine`][crf.refine] or [`refine()`][crf.refine]"
    )
    for same in ("# `refine`", "[`refine`](x.md)", "```\n`refine`\n```", "`refine(x)`", "refine"):
        assert link_names(same, places) == same
