"""The whole site is built and checked; needs the packages of the extra [docs]."""

import json
import subprocess
import sys

import pytest
from site_build import copy_linked_files
from site_links import ROOT, to_site
from site_reference import anchors

from deeplab_tf.commands.names import COMMANDS


def test_linked_files_of_the_repository_come_along(tmp_path):
    text = to_site("[a](../../setup.py), [b](../../README.md)", "docs/x/a.md", "x/a.md")
    copy_linked_files(text, "x/a.md", tmp_path)
    copies = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert copies == [tmp_path / "source" / "setup.py"]
    assert copies[0].read_bytes() == (ROOT / "setup.py").read_bytes()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("mkdocs", reason='needs mkdocs: pip install "deeplab-tf[docs]"')
    site = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, ROOT / "docs" / "site" / "site_build.py", site]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return site


@pytest.mark.slow
def test_every_name_every_command_and_every_page_is_on_the_site(built):
    html = {path.relative_to(built).as_posix(): path.read_text() for path in built.rglob("*.html")}
    for name in anchors().values():
        assert any(f'id="{name}"' in text for text in html.values()), name
    for name in COMMANDS:
        assert f"deeplab-tf {name}" in html[f"commands/{name}.html"]
    for page in (ROOT / "docs").glob("*.md"):
        assert f"{page.stem}.html" in html


@pytest.mark.slow
def test_a_public_name_in_a_page_leads_to_its_description(built):
    page = (built / "reference" / "deeplab_tf.html").read_text()
    assert 'href="deeplab_tf.models.html#deeplab_tf.models.backbone_names"' in page
    assert "<code>Example:" not in page
    assert "<blockquote>" not in page  # of a >>> that was not taken for code


@pytest.mark.slow
def test_the_search_works_without_a_server(built):
    script = (built / "search" / "search_index.js").read_text()
    index = json.loads(script.removeprefix("var __index = "))
    places = {entry["location"] for entry in index["docs"]}
    assert "reference/crf.html#crf.refine" in places
    assert any("assets/iframe-worker.js" in path.read_text() for path in built.glob("index.html"))
