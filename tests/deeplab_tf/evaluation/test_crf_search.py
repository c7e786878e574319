import json
import threading
import time

import numpy as np
import pytest

from crf import CRFParams, dense_crf
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import ConfusionMatrix
from deeplab_tf.evaluation import crf_search as parameter_scores
from deeplab_tf.evaluation.crf_search import PointScorer, SearchRecord, identity_of_pairs

RNG = np.random.default_rng(0)


def make_pair():
    """Three areas in colours of their own, with noise, and noisy probabilities of them."""
    truth = np.uint8([[0, 1], [2, 1]]).repeat(6, axis=0).repeat(5, axis=1)
    truth[0] = 255
    image = np.clip(80 * truth.astype(int)[..., None] + RNG.integers(-9, 10, (12, 10, 3)), 0, 255)
    scores = np.eye(3)[np.minimum(truth, 2)] + RNG.normal(0, 1.5, (12, 10, 3))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    return (image.astype(np.uint8), truth), probabilities.astype(np.float32)


PAIRS, PROBABILITIES = zip(*(make_pair() for _ in range(3)), strict=True)
POINTS = [CRFParams(sigma_alpha=5, sigma_beta=20, w1=w1, w2=1, iterations=3) for w1 in (0.5, 9)]


def probabilities_of(image):
    (index,) = [i for i, (other, _) in enumerate(PAIRS) if other is image]
    return PROBABILITIES[index]


def expected_miou(params):
    confusion = ConfusionMatrix(3)
    for (image, truth), scores in zip(PAIRS, PROBABILITIES, strict=True):
        if params is not None:
            scores = dense_crf(scores[None], image[None], params)[0]
        confusion.add(truth, np.argmax(scores, axis=-1))
    return confusion.miou


@pytest.mark.parametrize("num_threads", [1, 3])
def test_mean_iou_of_each_point(num_threads):
    scorer = PointScorer(PAIRS, probabilities_of, 3, num_threads)
    expected = [expected_miou(params) for params in [None, *POINTS]]
    assert list(scorer([None, *POINTS])) == pytest.approx(expected, abs=1e-3)
    assert len({round(miou, 3) for miou in expected}) == 3  # so that a mix-up shows


def test_one_thread_for_each_crf(monkeypatch):
    asked = []

    def fake(probabilities, images, params, num_threads):
        asked.append((params, num_threads))
        return probabilities

    monkeypatch.setattr(parameter_scores, "dense_crf", fake)
    (miou,) = PointScorer(PAIRS, probabilities_of, 3, 2)(POINTS[:1])
    assert miou == pytest.approx(expected_miou(None))
    assert asked == [(POINTS[0], 1)] * len(PAIRS)


def test_images_are_worked_on_at_the_same_time():
    """Two threads must meet, which one alone waits for in vain."""
    meeting = threading.Barrier(2, timeout=10)

    def probabilities(image):
        meeting.wait()
        return probabilities_of(image)

    assert len(list(PointScorer(PAIRS[:2], probabilities, 3, num_threads=2)([None]))) == 1


def test_progress_sees_every_image_of_every_point():
    seen = []

    def progress(items, total, desc):
        seen.append((total, desc))
        for item in items:
            seen.append(item.sum())
            yield item
        seen.append("done")

    list(PointScorer(PAIRS, probabilities_of, 3, 2, progress)([None, None]))
    assert seen == [(6, "2 points"), *[110] * 6, "done"]


def test_who_stops_early_does_not_wait_for_the_rest():
    begun, closing = [], threading.Event()

    def slow(image):
        begun.append(image)
        if len(begun) > len(PAIRS):
            closing.wait(60)
            time.sleep(0.02)
        return probabilities_of(image)

    def progress(items, total, desc):
        try:
            for item in items:  # noqa: UP028 - `yield from` would also close the items
                yield item
        finally:
            closing.set()

    scores = PointScorer(PAIRS, slow, 3, 1, progress)([None] * 50)
    next(scores)
    scores.close()
    assert len(begun) < 50 * len(PAIRS)


def test_bad_input():
    with pytest.raises(InputError, match=r"(?s)CRF with CRFParams.*=1e-30,.*larger sigmas"):
        list(PointScorer(PAIRS, probabilities_of, 3, 2)([CRFParams(sigma_beta=1e-30)]))
    void = [(image, np.full_like(truth, 255)) for image, truth in PAIRS]
    with pytest.raises(InputError, match="void everywhere"):
        list(PointScorer(void, lambda _: PROBABILITIES[0], 3, 2)([None]))


IDENTITY = {"model": "abc", "settings": {"scales": (1.0, 0.5)}, "images": "def"}


def test_a_record_is_read_again(tmp_path):
    path = tmp_path / "new" / "search.json"
    record = SearchRecord(path, IDENTITY)
    assert record.scores == {} and not path.exists()
    for index, point in enumerate(POINTS):
        record.add(point, 0.1 + index / 7)
        assert len(json.loads(path.read_text())["points"]) == index + 1
    assert SearchRecord(path, IDENTITY).scores == {POINTS[0]: 0.1, POINTS[1]: 0.1 + 1 / 7}
    assert list(path.parent.iterdir()) == [path]


def test_a_record_names_its_parameters(tmp_path):
    record = SearchRecord(tmp_path / "search.json", IDENTITY)
    record.add(CRFParams(w1=5, sigma_alpha=47.5), 0.25)
    (point,) = json.loads(record.path.read_text())["points"]
    assert (point["w1"], point["sigma_alpha"], point["miou"]) == (5, 47.5, 0.25)


@pytest.mark.parametrize(
    ("changed", "differ"),
    [
        ({"model": "x"}, "another model;"),
        ({"settings": {"scales": (1.0,)}, "images": "x"}, "another settings and images;"),
    ],
)
def test_a_record_of_another_search_is_refused(tmp_path, changed, differ):
    path = tmp_path / "search.json"
    SearchRecord(path, IDENTITY).add(POINTS[0], 0.5)
    before = path.read_bytes()
    with pytest.raises(InputError, match=differ):
        SearchRecord(path, {**IDENTITY, **changed})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "[1]",
        "{}",
        '{"identity": {}, "points": 3}',
        '{"identity": {}, "points": [{"w1": 1}]}',
        '{"identity": {}, "points": [{"w1": -1, "miou": 1}]}',
        '{"identity": {}, "points": [{"weight": 1, "miou": 1}]}',
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path, contents):
    path = tmp_path / "search.json"
    path.write_text(contents)
    with pytest.raises(InputError, match=r"search\.json: is no record of a search"):
        SearchRecord(path, IDENTITY)


def test_identity_of_pairs_depends_on_every_pixel_and_the_order():
    seen = {identity_of_pairs(PAIRS), identity_of_pairs(PAIRS[:2]), identity_of_pairs(PAIRS[::-1])}
    (image, truth), rest = PAIRS[0], PAIRS[1:]
    changed = truth.copy()
    changed[3, 3] = 255
    seen |= {identity_of_pairs([(image, changed), *rest])}
    seen |= {identity_of_pairs([(image[::-1], truth), *rest])}
    assert len(seen) == 5
    assert identity_of_pairs(PAIRS) == identity_of_pairs([(i.copy(), t.copy()) for i, t in PAIRS])
