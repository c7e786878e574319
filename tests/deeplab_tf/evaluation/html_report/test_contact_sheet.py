import base64
import html
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from html_page import Page, assert_no_requests, words
from tiny_report import CLASSES, scene

from deeplab_tf.data.image_files import decode_image
from deeplab_tf.evaluation.html_report import ContactSheet
from deeplab_tf.evaluation.html_report.contact_sheet import PAGE_BYTES, share
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import overlay, overlay_colors

COMMAND = "deeplab-tf predict --model='runs/<tiny>' photos"
BY_HAND = np.uint8([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]])  # 70 % sky, 30 % road


def sheet_of(folder, count=3, names=None):
    made = ContactSheet(folder / "pages" / "sheet.html", "Labels of <b>", COMMAND, CLASSES, count)
    for seed in range(count):
        label, image = scene(seed)
        name = names[seed] if names else f"scene {seed}"
        results = {"labels": folder / f"out/{name}.png", "overlay": folder / "out" / "over#.png"}
        made.add(folder / "photos" / f"{name}.jpg", image, np.minimum(label, 2), results)
    return made


@pytest.fixture(scope="module")
def sheet():
    return sheet_of(Path("/somewhere"))


@pytest.fixture(scope="module")
def text(sheet):
    return sheet.render(["cut.jpg: cannot be read & so on"])


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_requests_nothing_and_has_what_screen_readers_need(page, text):
    assert_no_requests(page, text)
    assert page.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in page.all("img")) and len(page.all("img")) == 6
    assert all("scope" in head for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_texts_are_escaped(text):
    assert "<b>road" not in text and "<tiny>" not in text and "Labels of <b>" not in text
    shown = words(text)
    assert "<b>road & $x$</b>" in shown and COMMAND in shown and "Labels of <b>" in shown
    assert "cut.jpg: cannot be read & so on" in shown


def test_areas_are_in_per_cent_the_largest_first(tmp_path):
    made = ContactSheet(tmp_path / "sheet.html", "title", COMMAND, CLASSES, 2)
    for label in (BY_HAND, np.zeros_like(BY_HAND)):
        made.add(tmp_path / "a.jpg", np.zeros((2, 5, 3), np.uint8), label, {})
    assert list(made.images[0].areas.items()) == [(0, 0.7), (1, pytest.approx(0.3))]
    assert made.images[0].alt == "sky 70 %, <b>road & $x$</b> 30 %"
    assert made.classes() == [(0, 2, 0.85), (1, 1, 0.15)]
    shown = words(made.render())
    assert "2 images, 2 of 4 classes occur" in shown
    assert "sky 2 85.0 <b>road & $x$</b> 1 15.0" in shown
    assert "a.jpg sky 70.0 % <b>road & $x$</b> 30.0 % a.jpg sky 100.0 %" in shown
    assert "car" not in shown and "absent" not in shown and "Left out" not in shown
    assert [share(value) for value in (1, 0.0005, 0.0004, 1e-9)] == ["100.0", "0.1", "<0.1", "<0.1"]


def test_pictures_are_the_image_and_its_labels(sheet):
    label, image = scene(0)
    label = np.minimum(label, 2)
    found = [decode_url(url) for url in (sheet.images[0].picture, sheet.images[0].labels)]
    tinted = overlay(image, label, overlay_colors(CLASSES))
    for shown, expected in zip(found, (image, tinted), strict=True):
        assert np.abs(shown.astype(int) - expected).mean() < 12


def decode_url(url):
    return decode_image(base64.b64decode(url.partition("base64,")[2]))


def test_links_lead_from_the_page_to_the_files(tmp_path):
    names = ["a & b", "ü?100%", "plain"]
    made = sheet_of(tmp_path, names=names)
    links = [html.unescape(link["href"]) for link in Page(made.render()).all("a")]
    folder = (tmp_path / "pages").resolve()
    expected = ["#images"]
    for name in names:
        expected += [f"photos/{name}.jpg", f"out/{name}.png", "out/over#.png"]
    assert "%3F100%25" in links[4] and "over%23.png" in links[3]
    found = [(folder / unquote(link)).resolve() for link in links[1:]]
    assert found == [tmp_path.resolve() / path for path in expected[1:]]


def test_many_images_do_not_make_a_page_over_20_mb(tmp_path):
    """The worst of all: pure noise, in all classes, with long names; as one of 1,449 images."""
    rng, count = np.random.default_rng(0), 1449
    labels = LabelSet.in_voc_colors([f"class of a long name {index}" for index in range(150)])
    path = tmp_path / ("x" * 200 + ".jpg")
    for classes in (labels, CLASSES):
        made = ContactSheet(tmp_path / "sheet.html", "title", COMMAND, classes, count)
        image = rng.integers(0, 256, (600, 800, 3)).astype(np.uint8)
        label = rng.integers(0, classes.num_classes, (600, 800)).astype(np.uint8)
        sizes = []
        for _ in range(2):
            made.add(path, image, label, dict.fromkeys(("labels", "overlay", "side by side"), path))
            sizes.append(len(made.render().encode()))
        card = sizes[1] - sizes[0]
        assert sizes[0] + (count - 1) * card < PAGE_BYTES < 20e6
        assert decode_url(made.images[0].picture).shape[1] >= 64


def test_few_images_are_large(sheet):
    few = ContactSheet(Path("sheet.html"), "title", COMMAND, CLASSES, 1)
    label, image = scene(0, (480, 640))
    few.add(Path("a.jpg"), image // 8 * 8, np.minimum(label, 2), {})
    assert max(decode_url(few.images[0].picture).shape) >= 180


def test_without_areas_of_one_class_no_s(tmp_path):
    made = ContactSheet(tmp_path / "sheet.html", "title", COMMAND, CLASSES, 1)
    made.add(tmp_path / "a.jpg", np.zeros((2, 5, 3), np.uint8), BY_HAND * 0, {})
    assert "1 image, 1 of 4 classes occur" in words(made.render())


def test_more_classes_than_a_card_lists(tmp_path):
    labels = LabelSet.generic(20)
    made = ContactSheet(tmp_path / "sheet.html", "title", COMMAND, labels, 1)
    label = np.arange(20, dtype=np.uint8)[None]
    made.add(tmp_path / "a.jpg", np.zeros((1, 20, 3), np.uint8), label, {})
    text = made.render()
    assert "class 14 5.0 % and 5 more" in words(text)
    (card,) = [one for one in Page(text).all("li") if "data-areas" in one]
    assert len(card["data-areas"].split()) == 20 and "19:0.05000" in card["data-areas"]
