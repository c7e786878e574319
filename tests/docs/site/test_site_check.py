"""What the check of a built site finds."""

import pytest
from site_check import check_site


@pytest.fixture
def site(tmp_path):
    """A folder with a page `other.html` and a function that checks a page of this text."""
    (tmp_path / "other.html").write_text("<h1 id='here'>Other</h1>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text("<p>Folder</p>")

    def check(body):
        (tmp_path / "page.html").write_text(f"<!doctype html><title>T</title>{body}")
        return check_site(tmp_path)

    return check


@pytest.mark.parametrize(
    "body",
    [
        "<a href='other.html'>a</a><a href='other.html#here'>b</a><a href='folder/'>c</a>",
        "<a href='/other.html?q=1#here'>from the root</a><p id=x><a href='#x'>x</a>",
        "<a href='https://elsewhere.org/x#y'>for readers to click</a><a href='mailto:a@b.c'>m</a>",
        "<link rel=canonical href='https://elsewhere.org/page.html'>",
        "<img src='data:image/png;base64,AAAA'>",
        "<code>```</code><pre>[a](b) and **c**</pre><p>a | b, (c), 2 ** 3</p>",
    ],
)
def test_nothing_is_wrong(site, body):
    assert site(body) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<a href='gone.html'>a</a>", "broken link: gone.html"),
        ("<img src='gone.png'>", "broken link: gone.png"),
        ("<a href='../../outside'>a</a>", "broken link: ../../outside"),
        ("<a href='other.html#gone'>a</a>", "no such anchor: other.html#gone"),
        ("<a href='other.html?q=1#gone'>a</a>", "no such anchor: other.html?q=1#gone"),
        ("<a href='#gone'>a</a>", "no such anchor: #gone"),
        ("<script src='https://cdn.org/x.js'></script>", "asks another host: https://cdn.org/x.js"),
        ("<img src='//cdn.org/x.png'>", "asks another host: //cdn.org/x.png"),
        ("<link rel=stylesheet href='https://f.org/css'>", "asks another host: https://f.org/css"),
        (
            "<style>p {background: url('https://f.org/i')}</style>",
            "asks another host: https://f.org/i",
        ),
        ("<p style='background: url(gone.png)'>", "broken link: gone.png"),
        ("<img srcset='gone.png 2x' src='data:,'>", "broken link: gone.png"),
        ("<p>```\ntext", "Markdown in the text: '```'"),
        ("<p>see [a](b.md)", "Markdown in the text: '](b.md)'"),
        ("<p>| a | b |</p>", "Markdown in the text: '| a | b |'"),
        ("<p>::: crf.refine</p>", "Markdown in the text: ':::'"),
        ("<pre class=mermaid>a</pre>", "the theme takes the program for diagrams from unpkg.com"),
    ],
)
def test_a_fault_is_named_with_its_page(site, body, fault):
    assert site(body) == [f"page.html: {fault}"]


def test_style_sheets_are_checked(site, tmp_path):
    (tmp_path / "a.css").write_text("@import 'https://f.org/f.css'; p {src: url(gone.woff)}")
    assert site("") == [
        "a.css: asks another host: https://f.org/f.css",
        "a.css: broken link: gone.woff",
    ]


def test_an_empty_folder_is_no_site(tmp_path):
    assert "holds no page" in check_site(tmp_path)[0]
