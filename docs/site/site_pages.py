"""The order of the pages of the site, and those that are not in docs/."""

import fnmatch

from site_links import ROOT, to_site

# A path with a * takes the pages that fit and that no other entry names; without any, the entry is
# left out. So a new page of docs/ is under "More" until it gets its place here.
NAV = [
    {"Start": "index.md"},
    {
        "Guides": [
            {"Your own photographs": "own_data.md"},
            "data.md",
            "pretrained.md",
            "demo.md",
            {"Cards of trained networks": "cards/*"},
            "training.md",
            "depth.md",
            "v3.md",
            "heads.md",
            "evaluation.md",
            "pictures.md",
            "weak_supervision.md",
            "distributed.md",
            "scale.md",
            "export.md",
            "serving.md",
            {"More": "*"},
        ]
    },
    {
        "CRF": [
            "crf.md",
            {"Gray and multispectral images": "crf_channels.md"},
            {"Volumes and videos": "crf_volumes.md"},
            {"Scribbles and unsure labels": "crf_weak_labels.md"},
            "pydensecrf.md",
        ]
    },
    {"Results": ["results.md", "systems.md", {"What each part gives": "ablation_table.md"}]},
    {"Commands": "commands/*"},
    {"Python": "reference/*"},
    {"Project": ["reliability.md", "changelog.md", "contributing.md", "security.md"]},
]
# The first page has no neighbors to list beside it.
ALONE = "---\nhide: [navigation]\n---\n"
WHERE_IS_WHAT = "## Where is what\n"


def pages_of_docs():
    """The pages of docs/ with the links that they need on the site.

    Returns:
      dict from the path on the site to the page, both str.
    """
    pages = {}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        page = path.relative_to(ROOT / "docs").as_posix()
        pages[page] = to_site(path.read_text("utf-8"), f"docs/{page}", page)
    return pages


def pages_outside_docs():
    """README, CONTRIBUTING, CHANGELOG, SECURITY and the cards of the networks as pages of the site.

    README's table of folders stands at the end of CONTRIBUTING, whose readers need it.

    Returns:
      dict from the path on the site to the page, both str.
    """
    readme = (ROOT / "README.md").read_text("utf-8")
    before, _, rest = readme.partition(WHERE_IS_WHAT)
    table, _, after = rest.partition("\n## ")
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    security = (ROOT / "SECURITY.md").read_text("utf-8")
    pages = {
        "index.md": ALONE + to_site(f"{before}## {after}", "README.md", "index.md"),
        "contributing.md": to_site(contributing, "CONTRIBUTING.md", "contributing.md")
        + to_site(f"\n{WHERE_IS_WHAT}{table}\n", "README.md", "contributing.md"),
        "changelog.md": to_site(changelog, "CHANGELOG.md", "changelog.md"),
        "security.md": to_site(security, "SECURITY.md", "security.md"),
    }
    for path in sorted((ROOT / "deeplab_tf" / "pretrained").glob("*.md")):
        origin, page = path.relative_to(ROOT).as_posix(), f"cards/{path.name}"
        pages[page] = to_site(path.read_text("utf-8"), origin, page)
    return pages


def fill_nav(nav, pages):
    """The navigation with pages in the place of patterns.

    Args:
      nav: like `NAV`: a list of paths, of `{title: path}` and of `{title: list}`.
      pages: the paths of all pages, in the order in which a pattern puts them.

    Returns:
      The navigation, as long as there are pages for it.
    """
    named = set(_paths(nav))
    patterns = [path for path in named if "*" in path and path != "*"]

    def fitting(pattern):
        # "*" is for what is left by all other entries.
        taken = patterns if pattern == "*" else []
        return [
            page
            for page in pages
            if fnmatch.fnmatch(page, pattern)
            and page not in named
            and not any(fnmatch.fnmatch(page, other) for other in taken)
        ]

    def filled(entries):
        for entry in entries:
            ((title, value),) = entry.items() if isinstance(entry, dict) else [(None, entry)]
            if isinstance(value, list):
                yield {title: list(filled(value))}
            elif "*" not in value:
                yield entry
            elif found := fitting(value):
                yield {title: found}

    return list(filled(nav))


def _paths(nav):
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from _paths(value) if isinstance(value, list) else [value]
