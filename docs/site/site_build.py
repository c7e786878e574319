"""Build the site of the docs: python docs/site/site_build.py build/docs

It writes all pages into a folder beside the site's, lets MkDocs build them, and checks the result.
Nothing is fetched from a network.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from site_check import check_site
from site_commands import command_pages
from site_links import ROOT, SOURCE, link_names, link_targets, resolve
from site_pages import NAV, fill_nav, pages_of_docs, pages_outside_docs
from site_reference import anchors, reference_pages
from site_results import MARKER, result_tables

HERE = Path(__file__).resolve().parent


def main(site):
    """Build the site in a folder, which is replaced.

    Args:
      site: str, the folder.

    Returns:
      int, the exit status: not 0 if MkDocs warns, or if the site has a broken link or asks another
      host for something.
    """
    needed = ("mkdocs", "mkdocstrings")
    if missing := [name for name in needed if not importlib.util.find_spec(name)]:
        print(f'error: no {" and ".join(missing)}: pip install "deeplab-tf[docs]"', file=sys.stderr)
        return 1
    site = Path(site).resolve()
    sources = site.with_name(f"{site.name}_sources")
    write_sources(sources)
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    command += ["--config-file", sources / "mkdocs.yml", "--site-dir", site]
    # It imports site_docstrings. The theme's notice says which program follows it in 2027.
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"}
    if status := subprocess.run(command, env=environment).returncode:
        return status
    faults = check_site(site)
    print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    print(f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, {len(faults)} faults")
    return 1 if faults else 0


def write_sources(folder):
    """Write what MkDocs reads: the pages, their pictures, and the settings with the navigation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder / "pages", ignore=shutil.ignore_patterns("site", "*.md"))
    shutil.copytree(HERE / "theme", folder / "theme")
    pages = pages_outside_docs() | command_pages() | reference_pages() | pages_of_docs()
    tables = result_tables(ROOT / "docs" / "results")
    for path, text in pages.items():
        file = folder / "pages" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(link_names(text.replace(MARKER, tables), anchors()), "utf-8")
        copy_linked_files(text, path, folder / "pages")
    settings = (HERE / "mkdocs.yml").read_text("utf-8")
    nav = json.dumps(fill_nav(NAV, list(pages)))  # JSON is YAML, too
    settings = settings.replace("PACKAGES", json.dumps(str(ROOT)))
    (folder / "mkdocs.yml").write_text(f"{settings}\nnav: {nav}\n", "utf-8")


def copy_linked_files(text, path, folder):
    """Copy the files of the repository that a page links to and that are no pages themselves.

    Args:
      text: the page, with the links of the site.
      path: its path on the site.
      folder: `pathlib.Path` of all pages.
    """
    for target in link_targets(text):
        linked, _ = resolve(path, target)
        if linked.startswith(SOURCE):
            (folder / linked).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / linked.removeprefix(SOURCE), folder / linked)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
