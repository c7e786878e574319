import base64
import io
import re
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest
from demo_client import LABELS
from PIL import Image
from tiny_model import color_model

from crf import CRFParams
from deeplab_tf.commands.flagfiles import expand_flagfiles
from deeplab_tf.demo.labeling import NUMBERS, Network, Refined, Scored
from deeplab_tf.demo.results import (
    flagfile,
    largest_class,
    picture_url,
    problem_html,
    query,
    results_html,
)
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.class_maps import heat_map

PARAMS = CRFParams(w1=2.5, sigma_alpha=30, iterations=7)
NETWORK = Network("colors", color_model(), LABELS, PARAMS, {}, 500, ("--model=my colors", "--flip"))


def refined(size=(2, 5)):
    """Pixels of the classes 0 0 1 1 2 before and 0 0 0 0 2 after the CRF, in two rows."""
    before = np.eye(3, dtype=np.float32)[[[0, 0, 1, 1, 2]] * 2] * 0.7 + 0.1
    after = np.eye(3, dtype=np.float32)[[[0, 0, 0, 0, 2]] * 2]
    scored = Scored(np.full((2, 5, 3), 90, np.uint8), size, before)
    return Refined(scored, NETWORK, PARAMS, after, 0.123)


def pictures(html):
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(text)))).astype(int) for text in found]


def test_pictures_legend_and_words():
    picture, details = results_html("0/a photo.jpg", refined(), "red")
    after, before = pictures(picture)
    blended = [np.rint(0.4 * 90 + 0.6 * np.array(color)) for color in LABELS.colors]
    assert np.abs(before[0] - [blended[i] for i in (0, 0, 1, 1, 2)]).max() <= 1
    assert np.abs(after[1] - [blended[i] for i in (0, 0, 0, 0, 2)]).max() <= 1
    assert 'alt="Before the CRF: 40% red, 40% green &lt;b&gt;, 20% blue"' in picture.replace(
        "40% green &lt;b&gt;, 40% red", "40% red, 40% green &lt;b&gt;"
    )
    assert 'alt="After the CRF: 80% red, 20% blue"' in picture
    assert "a photo.jpg: the CRF changed 40.0 % of the pixels, in 0.12 s." in details
    assert "Computed at" not in details
    entries = re.findall(r"</span>([^<]+) <span class=\"share\">([^<]+)</span>", details)
    assert entries == [
        ("red", "40.0 → 80.0 %"), ("blue", "20.0 → 20.0 %"),
        ("green &lt;b&gt;", "40.0 → 0.0 %"),
    ]  # fmt: skip


def test_maps_of_the_chosen_class():
    _, details = results_html("0/a.jpg", refined(), "blue")
    score, belief, bar = pictures(details)
    assert np.array_equal(score[0], heat_map(np.float32([[0.1, 0.1, 0.1, 0.1, 0.8]]))[0])
    assert np.array_equal(belief[1], heat_map(np.float32([[0, 0, 0, 0, 1]]))[0])
    assert np.array_equal(bar[0, [0, -1]], heat_map(np.float32([[0, 1]]))[0])
    assert "after 7 iterations of the CRF" in details and "largest probability is 0.80" in details
    with pytest.raises(InputError, match="no class 'x'; the classes are red"):
        results_html("0/a.jpg", refined(), "x")


def test_a_photograph_that_was_reduced():
    assert (
        "Computed at 5x2 of 50x20 pixels." in results_html("0/a.jpg", refined((20, 50)), "red")[1]
    )


def test_names_are_text():
    picture, details = results_html("0/<script>.png", refined(), "green <b>")
    assert "<script" not in picture + details and "<b>" not in picture + details
    assert problem_html("a<b>.png: no image") == (
        '<p class="problem" role="alert">a&lt;b&gt;.png: no image.</p>'
    )


def test_brighter_is_more_probable():
    lights = heat_map(np.linspace(0, 1, 50, dtype=np.float32)[None])[0] @ (0.2, 0.7, 0.1)
    assert (np.diff(lights) > 0).all()
    assert heat_map(np.float32([[-1, 2]])).tolist() == heat_map(np.float32([[0, 1]])).tolist()


def test_the_address_of_a_picture():
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(pictures(f'<img src="{picture_url(array)}">')[0], array)


def test_the_largest_class():
    assert largest_class(refined()) == "red"


def test_the_links_hold_all_numbers():
    found = parse_qs(query("0/a b&c.jpg", "colors", PARAMS))
    assert found.pop("photograph") == ["0/a b&c.jpg"] and found.pop("network") == ["colors"]
    assert found == {name: [repr(getattr(PARAMS, name))] for name in NUMBERS}


def test_the_flagfile_has_the_parameters(tmp_path):
    file = tmp_path / "a.flags"
    file.write_text(flagfile(NETWORK, PARAMS))
    assert expand_flagfiles([f"--flagfile={file}"]) == [
        "--crf", "--crf_w1=2.5", "--crf_sigma_alpha=30", "--crf_sigma_beta=3", "--crf_w2=3",
        "--crf_sigma_gamma=3", "--crf_iterations=7", "--crf_normalization=symmetric",
    ]  # fmt: skip
    words = "predict --flagfile=THIS_FILE '--model=my colors' --flip --out_dir=labels IMAGE"
    lines = file.read_text().splitlines()
    assert f"# deeplab-tf {words}" in lines and "But" not in file.read_text()
    lacking = replace(NETWORK, lacking="the compatibility in a.json")
    assert flagfile(lacking, PARAMS).splitlines() == [
        *lines[:2],
        "# But no flag can hold the compatibility in a.json, so that the labels differ.",
        *lines[2:],
    ]
