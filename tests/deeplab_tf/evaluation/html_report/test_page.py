import dataclasses

import numpy as np
import pytest
from html_page import Page, assert_no_requests, words
from tiny_report import tiny_report

from deeplab_tf.evaluation.html_report import render
from deeplab_tf.evaluation.html_report.page import largest_confusions, percent, signed, trend
from deeplab_tf.evaluation.result_scores import ResultScores


@pytest.fixture(scope="module")
def report():
    return tiny_report()


@pytest.fixture(scope="module")
def text(report):
    return render(report)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_requested(text, page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert_no_requests(page, text)


def test_what_screen_readers_need(page):
    (root,) = page.all("html")
    assert root["lang"] == "en"
    for image in page.all("img"):
        # Those of a viewer get theirs from the script.
        assert image["alt"] or image["class"] in ("left", "right")
    for plot in page.all("svg"):
        assert plot["role"] == "img" and plot["aria-label"]
    heads = page.all("th")
    assert heads and all("scope" in head for head in heads)
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("label")) == len(page.all("input")) + len(page.all("select"))


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        target = attributes.get("href", attributes.get("xlink:href", ""))
        assert tag == "image" or not target or target[1:] in ids


def test_texts_are_escaped(report, text):
    assert "<b>road" not in text and "<i>model" not in text and "<tiny>" not in text
    assert "<b>road & $x$</b>" in words(text)
    assert "deeplab-tf evaluate --model='runs/<tiny>' --crf" in words(text)


def test_scores_before_and_after(report, text):
    shown, before, after = words(text), report.before, report.after
    for title, values in {
        "mean IoU": (before.confusion.miou, after.confusion.miou),
        "mean boundary IoU": (before.boundary.miou, after.boundary.miou),
        "mean boundary F1": (before.boundary.mean_f1, after.boundary.mean_f1),
        "sky": [one.confusion.per_class_iou[0] for one in (before, after)],
    }.items():
        assert f"{title} {percent(values[0])} {percent(values[1])} {signed(values)} " in shown
    assert "absent \N{EN DASH} \N{EN DASH} \N{EN DASH} " in shown
    near = [one.trimap.confusion(5) for one in (before, after)]
    scores = [one.miou for one in near] + [one.pixel_accuracy for one in near]
    assert f" 5 {' '.join(map(percent, scores))} " in shown


def test_each_image_is_drawn_once(report, page):
    drawn = [one["id"] for one in page.all("article") if "id" in one]
    assert drawn == list(dict.fromkeys(drawn))
    assert len(drawn) == len(report.cards)
    shown = sum(len(group.images) for group in report.groups)
    assert len(page.all("article")) == shown > len(drawn)


def test_without_a_crf():
    text = render(tiny_report(with_crf=False))
    page, shown = Page(text), words(text)
    assert "before" not in shown and "CRF" not in shown and "change" not in shown
    assert len(page.all("article")) == 9
    assert [len(page.all(tag)) for tag in ("svg", "table")] == [5, 7]


def test_of_images_that_are_all_void():
    nothing = ResultScores(4, 1, "any", calibration=True)
    nothing.image_mious[0] = np.nan
    report = dataclasses.replace(tiny_report(count=1), before=nothing, after=None, groups=[])
    shown = words(render(report))
    assert "mean IoU \N{EN DASH} pixel accuracy \N{EN DASH}" in shown and "nan" not in shown


def test_the_same_report_is_the_same_page(report, text):
    assert render(report) == text


def test_the_largest_confusions_are_those_of_most_pixels(report):
    names = report.label_set.names
    rows = largest_confusions(report, count=2)
    matrix = report.after.confusion.matrix * (1 - np.eye(4, dtype=int))
    true, found = np.unravel_index(matrix.argmax(), matrix.shape)
    assert rows[0][:2] == (names[true], names[found])
    full = report.before.confusion.matrix
    assert rows[0][2][0] == pytest.approx(full[true, found] / full[true].sum())
    assert len(rows) == 2


def test_numbers_as_text():
    nan = float("nan")
    assert [percent(value) for value in (0.5, 1.0, 0.0004, nan)] == ["50.0", "100.0", "0.0", "–"]  # noqa: RUF001
    changes = [(0.5, 0.6), (0.6, 0.5), (0.5, 0.50001), (0.5, 0.49999), (nan, 0.5)]
    assert [signed(pair) for pair in changes] == ["+10.0", "−10.0", "0.0", "0.0", "–"]  # noqa: RUF001
    assert [trend(pair) for pair in changes] == ["better", "worse", "none", "none", "none"]
    assert trend((0.5, 0.6), lower_is_better=True) == "worse"
