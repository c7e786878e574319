"""The page in a real Chromium; skipped where there is none."""

import base64
import io

import numpy as np
import pytest
from browser import browser, pixels, serious_faults
from PIL import Image
from tool_runner import run_tool

assert browser  # a fixture

pytestmark = pytest.mark.browser

SECONDS = 300  # how long to wait at most; the machine may be busy


@pytest.fixture
def opened(browser, demo):
    """A function that opens the page; it fails if the page asks another server, or has errors."""
    contexts, complaints = [], []

    def note_request(request):
        if not request.url.startswith((demo.address, "data:", "blob:")):
            complaints.append(request.url)

    def note_message(message):
        if message.type == "error":
            complaints.append(message.text)

    def open_page(width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        context.set_default_timeout(1000 * SECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note_message)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", note_request)
        page.goto(demo.address)
        page.locator("#photograph input[type=file]").first.wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def choose(page, file):
    page.locator("#photograph input[type=file]").first.set_input_files(file)


def facts(page):
    return page.locator("#details .facts")


def shown(page, file):
    """Choose a photograph, and wait for its labels."""
    choose(page, file)
    facts(page).wait_for()
    return page


def change(page, action):
    """Do something that changes the results, and wait until they are there."""
    # Around the results Gradio shows that it is at work.
    results = "document.querySelector('#details .facts').parentElement.innerHTML"
    before = page.evaluate(results)
    action()
    page.wait_for_function(f"before => {results} !== before", arg=before)


def values(path):
    with Image.open(path) as image:
        return np.array(image)


def settled(page):
    """The picture, once Gradio no longer fades it, or moves it as it fills the page."""
    page.wait_for_function("!document.querySelector('.pending, .generating')")
    last = pixels(page.locator("#picture .stage"))
    for _ in range(10 * SECONDS):
        page.wait_for_timeout(100)
        found = pixels(page.locator("#picture .stage"))
        if np.array_equal(found, last):
            return found
        last = found
    raise AssertionError("the picture keeps changing")


def stage(page, cut):
    page.locator("#picture .cut").fill(str(cut))
    return settled(page)


def difference(one, other):
    """Mean difference of two pictures, whose sizes may differ by a pixel when the page moves."""
    height, width = np.minimum(one.shape, other.shape)[:2]
    return np.abs(one[:height, :width] - other[:height, :width]).mean()


def speckle(picture):
    """Mean difference of neighboring pixels."""
    return np.abs(np.diff(picture, axis=1)).mean()


def test_sliders_change_the_picture(opened, photograph):
    page = shown(opened(), photograph)
    before, after = stage(page, 100), stage(page, 0)
    # The network's labels follow the noise, and the CRF removes it.
    assert speckle(after) < speckle(before)
    assert difference(after, before) > 1
    half, width = stage(page, 50), before.shape[1]
    for columns, side in ((slice(5, width // 2 - 5), before), (slice(width // 2 + 5, -5), after)):
        assert difference(half[:, columns], side[:, columns]) < 2
    stage(page, 0)
    change(page, lambda: page.locator("#iterations input[type=range]").fill("0"))
    assert "the CRF changed 0.0 % of the pixels" in facts(page).inner_text()
    assert page.locator("#picture .cut").input_value() == "0"  # stays where it was
    assert difference(settled(page), before) < 1
    maps = [
        np.array(Image.open(io.BytesIO(base64.b64decode(image.get_attribute("src").split(",")[1]))))
        for image in page.locator("#details .maps img").all()
    ]
    assert (
        maps[0].shape == (225, 300, 3) and difference(*(one.astype(int) for one in maps)) < 1
    )  # beliefs without iterations: the scores
    change(page, lambda: page.get_by_role("button", name="own parameters").click())
    assert page.locator("#iterations input[type=range]").input_value() == "10"
    assert difference(settled(page), after) < 1


def test_the_divider_can_be_dragged(opened, photograph):
    page = shown(opened(), photograph)
    box = page.locator("#picture .stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle)
    page.mouse.up()
    assert page.locator("#picture .cut").input_value() == "80"


def test_maps_of_another_class(opened, photograph):
    page = shown(opened(), photograph)
    assert page.locator("#class input").input_value() in ("red", "green <b>")

    def choose_blue():
        page.locator("#class input").click()
        page.get_by_role("option", name="blue").click()

    change(page, choose_blue)
    assert page.get_by_role("heading", name="Where is “blue”?").is_visible()
    assert page.get_by_role("img", name="Belief map of blue").is_visible()


def test_downloads(opened, demo, photograph, tmp_path):
    page = shown(opened(), photograph)
    for name in ("Labels", "Overlay", "Flagfile"):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name).click()
        waiting.value.save_as(tmp_path / name)
    labels = values(tmp_path / "Labels")
    assert labels.shape == (300, 400) and set(np.unique(labels)) <= {0, 1, 2}
    assert values(tmp_path / "Overlay").shape[1] == 400
    flags = f"--model={demo.network}", "--max_side=300", f"--flagfile={tmp_path / 'Flagfile'}"
    done = run_tool("predict", *flags, f"--out_dir={tmp_path}", photograph)
    assert done.status == 0, done.err
    assert np.array_equal(values(tmp_path / f"{photograph.stem}.png"), labels)


def test_a_bad_file_is_a_sentence_and_the_page_goes_on(opened, photograph):
    page = opened()
    bad = {"name": "zip.png", "mimeType": "image/png", "buffer": b"PK\3\4" + bytes(99)}
    choose(page, bad)
    alert = page.locator("#picture").get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "zip.png: not a JPEG, PNG, TIFF, BMP, WebP or .npy file."
    shown(page, photograph)
    assert alert.count() == 0


def test_with_the_keyboard_alone(opened, photograph):
    page = shown(opened(), photograph)
    page.locator("#photograph button").first.focus()

    def reach(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached")

    reach("#iterations input[type=range]")
    change(page, lambda: page.keyboard.press("ArrowLeft"))
    assert "after 9 iterations" in page.locator("#details figcaption").last.inner_text()
    reach("#picture .cut")
    page.keyboard.press("ArrowRight")
    assert page.locator("#picture .cut").get_attribute("aria-valuetext").startswith("51 %")
    reach("#details .downloads a")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename == "red and green.png"


@pytest.mark.parametrize("width", [320, 800])
def test_nothing_is_wider_than_the_screen(opened, photograph, width):
    page = shown(opened(width), photograph)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.locator(place).bounding_box()["y"] for place in ("#picture", "#w1")]
    assert width > 640 or tops[0] < tops[1]  # the picture comes before the sliders


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened, photograph, scheme):
    page = opened(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert serious_faults(page) == []
    assert serious_faults(shown(page, photograph)) == []
