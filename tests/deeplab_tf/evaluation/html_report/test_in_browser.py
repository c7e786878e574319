"""The report's page in a real Chromium; skipped where there is none."""

import numpy as np
import pytest
from browser import browser, pixels, serious_faults
from tiny_report import tiny_report

from deeplab_tf.evaluation.html_report import render

assert browser  # a fixture

pytestmark = pytest.mark.browser

# All pairs of text and background, as (text, contrast, size in pixels, weight).
CONTRASTS = """() => {
  const levels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((level) => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backdrop = (element) => {
    for (; element; element = element.parentElement) {
      const color = levels(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*:not(script):not(style):not(option)")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3)
      .map((node) => node.data).join("").trim();
    const look = getComputedStyle(element);
    // White numbers are only on the dark cells of a confusion matrix.
    if (!text || (element.closest("svg") && look.fill === "rgb(255, 255, 255)")) continue;
    const color = element.closest("svg") ? look.fill : look.color;
    const lights = [luminance(levels(color)), luminance(backdrop(element))].sort((a, b) => a - b);
    found.push([text, (lights[1] + 0.05) / (lights[0] + 0.05)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(render(tiny_report()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, file):
    """A function that opens the page; it fails if the page requests or reports anything."""
    contexts, complaints = [], []

    def note_request(request):
        if request.url != file.as_uri() and not request.url.startswith("data:"):
            complaints.append(request.url)

    def open_page(width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", note_request)
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def test_the_slider_moves_the_divider(opened):
    page = opened()
    card = page.locator(".card:not(.again)").first
    stage, slider = card.locator(".stage"), card.get_by_label("divider")
    slider.fill("0")
    right = pixels(stage)
    slider.fill("100")
    left = pixels(stage)
    slider.fill("25")
    both, width = pixels(stage), left.shape[1]
    assert np.abs(left - right).mean() > 20
    for columns, side in ((slice(5, width // 4 - 5), left), (slice(width // 4 + 5, -5), right)):
        assert np.abs(both[:, columns] - side[:, columns]).mean() < 2
    assert slider.get_attribute("aria-valuetext") == "25 % image, the rest after CRF"


def test_the_divider_can_be_dragged_on_the_picture(opened):
    page = opened()
    card = page.locator(".card:not(.again)").first
    stage = card.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle)
    page.mouse.up()
    page.mouse.move(box["x"], middle)
    assert card.get_by_label("divider").input_value() == "80"


def test_other_pictures_can_be_chosen(opened):
    page = opened()
    card = page.locator(".card:not(.again)").first
    stage, shown = card.locator(".stage"), {}
    card.get_by_label("divider").fill("0")
    for name in ("image", "truth", "before CRF", "after CRF", "errors"):
        card.get_by_label("right").select_option(label=name)
        shown[name] = pixels(stage)
        figure = card.locator(".strip figure").filter(has_text=name).locator("img")
        alt = figure.get_attribute("alt")
        assert stage.locator("img.right").get_attribute("alt") == alt
    names = list(shown)
    for index, name in enumerate(names):
        for other in names[:index]:
            assert np.abs(shown[name] - shown[other]).mean() > 1, (name, other)


def test_with_the_keyboard_alone(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the scores"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    card = page.locator(".card:not(.again)").first
    stage, slider = card.locator(".stage"), card.get_by_label("divider")
    assert slider.evaluate("element => element === document.activeElement")
    assert slider.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    before = pixels(stage)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "70"
    assert np.abs(pixels(stage) - before).mean() > 2
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert stage.locator("img.left").get_attribute("alt").startswith("scene")
    assert card.get_by_label("left").input_value() == "1"


@pytest.mark.parametrize("width", [320, 360, 800, 1200])
def test_nothing_is_wider_than_the_screen(opened, width):
    page = opened(width)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("details table").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_background(opened, scheme):
    page = opened(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(13, 17, 23)") == (scheme == "dark")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 200
    assert [pair for pair in found if pair[1] < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened, scheme):
    assert serious_faults(opened(color_scheme=scheme)) == []


def test_without_scripts_all_pictures_are_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".viewer:visible").count() == 0
    card = page.locator(".card:not(.again)").first
    assert card.locator(".strip img:visible").count() == 5
    assert pixels(card.locator(".strip img").first).shape[1] > 130
