"""A real Chromium for tests of pages, and what every page is checked for."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; tests are skipped, saying so, without them."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs a browser: pip install playwright, and Chromium"
    )
    with playwright.sync_playwright() as running:
        paths = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        installed = next(filter(None, paths), None)
        # Chromium has no sandbox for the superuser, as whom containers run.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        try:
            chromium = running.chromium.launch(executable_path=installed, args=arguments)
        except playwright.Error as error:
            pytest.skip(f"needs Chromium, which cannot be started: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


def pixels(element):
    """What is seen of an element, (H, W, 3) integers."""
    return np.array(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)


def serious_faults(page):
    """The serious faults that axe finds in a page: list of (rule, element)."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe: pip install axe-playwright-python",
    )
    page.add_style_tag(content="* { transition: none !important }")
    violations = axe.Axe().run(page).response["violations"]
    serious = [one for one in violations if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"]) for one in serious]
