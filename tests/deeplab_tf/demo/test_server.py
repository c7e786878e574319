"""The running page, asked by HTTP as a browser, or somebody with worse intentions, asks it."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import numpy as np
import pytest
from demo_client import DEFAULTS, file_of
from hostile_files import HOSTILE
from PIL import Image
from tool_runner import run_tool

from deeplab_tf.demo.uploads import MAX_FILE_BYTES, MAX_PIXELS
from deeplab_tf.visualize import encode_picture

pytestmark = pytest.mark.browser

# Names of files, and what of them is shown.
NAMES = {
    "../../../etc/passwd": "passwd",
    "/etc/passwd": "passwd",
    "..\\..\\x.png": "x.png",
    "<script>alert(1)</script>.png": "",
    "a" * 300 + ".png": "aaa",
    "no name": "no name",
    "%2e%2e%2fx.png": "x.png",
}


def links(html):
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', html)]


def test_downloads_are_what_predict_writes(demo, photograph, tmp_path):
    chosen = (6, 40, 12.5, 2, 2, 4)
    html = demo.take(photograph.read_bytes(), photograph.name, numbers=chosen)
    answers = [demo.request("GET", link) for link in links(html)]
    assert [answer[0] for answer in answers] == [200, 200, 200]
    names = [answer[1]["content-disposition"].rpartition("'")[2] for answer in answers]
    assert names == ["red%20and%20green.png", "red%20and%20green_overlay.png",
                     "red%20and%20green_crf.flags"]  # fmt: skip
    labels, overlay, flags = (answer[2] for answer in answers)
    file = tmp_path / "chosen.flags"
    file.write_bytes(flags)
    arguments = f"--model={demo.network}", "--max_side=300", f"--flagfile={file}"
    done = run_tool("predict", *arguments, f"--out_dir={tmp_path}", photograph)
    assert done.status == 0, done.err
    assert (tmp_path / "red and green.png").read_bytes() == labels
    assert (tmp_path / "red and green_overlay.png").read_bytes() == overlay
    assert Image.open(io.BytesIO(labels)).size == (400, 300)


def test_hostile_uploads_are_a_sentence_each(demo, photograph):
    good = photograph.read_bytes()
    demo.take(good)
    before = demo.memory()
    for name, (contents, sentence) in HOSTILE.items():
        html = demo.take(contents, name)
        (text,) = re.findall(r'^<p class="problem" role="alert">([^<]+)\.</p>$', html)
        assert text.startswith(f"{name}: ") and sentence in unescape(text)
    for contents in (b"\x89PNG" + bytes(100 * 10**6), good + bytes(MAX_FILE_BYTES)):
        assert demo.take(contents) == "larger than 30 MB; make the photograph smaller"
    for name, shown in NAMES.items():
        html = demo.take(good, name)
        assert f"{shown}: the CRF changed" in html.replace(".png:", ":") or shown in html
        assert "stage" in html and "<script" not in html
    side = int(MAX_PIXELS**0.5) // 100 * 100
    assert "stage" in demo.take(encode_picture(np.zeros((side, side, 3), np.uint8)), "large.png")
    for shape in ((1, 1, 3), (1, 3000, 3), (3000, 1, 3)):
        assert "stage" in demo.take(encode_picture(np.full(shape, 90, np.uint8)))
    assert "stage" in demo.take(good)
    assert demo.process.poll() is None
    assert demo.memory() - before < 250 * 2**20
    stored = {path.parent.parent for path in demo.folder.rglob("*") if path.is_file()}
    assert stored == {demo.folder}


def test_two_visitors_at_once(demo, photograph):
    files = [photograph.read_bytes(), b"no image", photograph.read_bytes(), b""]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(demo.take, files))
    assert ["stage" in html for html in found] == [True, False, True, False]
    assert ["problem" in html for html in found] == [False, True, False, True]


@pytest.mark.parametrize(
    "file",
    [file_of("/etc/passwd"), file_of("http://127.0.0.1:9/x.png"), file_of("../colors/labels.json"),
     {"path": None, "url": "http://127.0.0.1:9/x.png"}],
)  # fmt: skip
def test_no_other_file_is_taken(demo, file):
    status, text = demo.event(0, file, demo.network, *DEFAULTS)
    assert (status, text) == (400, "this photograph is not here (any more); choose it again")


def test_no_other_file_is_given(demo):
    for path in ("/etc/passwd", demo.process.args[1], "http://127.0.0.1:9/", demo.folder, "."):
        assert demo.request("GET", f"/gradio_api/file={path}")[0] == 403
    query = "network=x&w1=1&sigma_alpha=1&sigma_beta=1&w2=1&sigma_gamma=1&iterations=1"
    for photograph in ("../../etc/passwd", "/etc/passwd", "a"):
        status, _, text = demo.request("GET", f"/download/labels?photograph={photograph}&{query}")
        assert status == 400 and b"no network 'x'" in text
        own = query.replace("network=x", f"network={demo.network}")
        status, _, text = demo.request("GET", f"/download/labels?photograph={photograph}&{own}")
        assert (status, text) == (400, b"this photograph is not here (any more); choose it again")


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [((-1, *DEFAULTS[1:]), "w1 must be a finite number of at least 0"),
     ((4, 0, 3, 3, 3, 10), "sigma_alpha must be a finite number above 0"),
     ((4, "x", 3, 3, 3, 10), "sigma_alpha must be a finite number above 0"),
     ((*DEFAULTS[:5], 10**9), "iterations must be at most 50 here"),
     ((*DEFAULTS[:5], None), "iterations")],
)  # fmt: skip
def test_wrong_numbers_are_a_sentence(demo, photograph, numbers, sentence):
    html = demo.take(photograph.read_bytes(), numbers=numbers)
    assert sentence in html and "problem" in html


def test_the_configuration_has_no_address_of_another_server(demo):
    text = json.dumps(demo.config)
    assert "googleapis" not in text and demo.config["analytics_enabled"] is False
