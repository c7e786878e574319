"""Scores of CRF parameters, their record on disk, and the cached probabilities."""

import json
import threading
import time

import numpy as np
import pytest

from crf import CRFParams, dense_crf
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import ConfusionMatrix, crf_search
from deeplab_tf.evaluation.crf_search import (
    PointScorer,
    ProbabilityCache,
    SearchRecord,
    identity_of_pairs,
)

RNG = np.random.default_rng(0)


def make_pair():
    """Three areas in different colors, with noise, and noisy probabilities of them."""
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


def test_each_crf_runs_in_one_thread(monkeypatch):
    asked = []

    def fake(probabilities, images, params, num_threads):
        asked.append((params, num_threads))
        return probabilities

    monkeypatch.setattr(crf_search, "dense_crf", fake)
    (miou,) = PointScorer(PAIRS, probabilities_of, 3, 2)(POINTS[:1])
    assert miou == pytest.approx(expected_miou(None))
    assert asked == [(POINTS[0], 1)] * len(PAIRS)


def test_images_are_scored_in_parallel():
    """The barrier opens only if two threads reach it."""
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


def test_stopping_early_cancels_the_remaining_images():
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
        ({"model": "x"}, "differs in model;"),
        ({"settings": {"scales": (1.0,)}, "images": "x"}, "differs in settings and images;"),
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
        '{"identity": {}, "points": [3]}',
        '{"identity": {}, "points": [{"w1": 1}]}',
        '{"identity": {}, "points": [{"w1": -1, "miou": 1}]}',
        '{"identity": {}, "points": [{"weight": 1, "miou": 1}]}',
    ],
)
def test_a_file_that_is_not_a_record_is_refused(tmp_path, contents):
    path = tmp_path / "search.json"
    path.write_text(contents)
    with pytest.raises(InputError, match=r"search\.json: not a record of a search"):
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


CACHE_IDENTITY = {"model": "abc", "settings": {"scales": (1.0,), "flip": False}}
IMAGE = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
STORED = np.random.default_rng(2).dirichlet([0.3] * 4, (20, 30)).astype(np.float32)


def make_cache(folder, **changed):
    return ProbabilityCache(folder, {**CACHE_IDENTITY, **changed}, 4)


def test_what_is_saved_is_loaded(tmp_path):
    cache = make_cache(tmp_path / "new")
    assert IMAGE not in cache
    cache.save(IMAGE, STORED)
    assert IMAGE in cache
    loaded = cache.load(IMAGE)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, STORED, rtol=1.5e-3, atol=1.1e-5)
    np.testing.assert_allclose(loaded.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(make_cache(tmp_path / "new").load(IMAGE), loaded)
    (file,) = (tmp_path / "new").iterdir()
    assert file == cache.path(IMAGE)
    assert file.stat().st_size < 2 * STORED.size + 200


def test_values_by_hand(tmp_path):
    """Halves are exact in float16; what the CRF treats as 0 becomes 0."""
    cache = ProbabilityCache(tmp_path, CACHE_IDENTITY, 3)
    image = np.zeros((1, 2, 3), np.uint8)
    cache.save(image, np.float32([[[0.5, 0.25, 0.25], [0.5, 0.5 - 4e-6, 4e-6]]]))
    np.testing.assert_array_equal(cache.load(image), [[[0.5, 0.25, 0.25], [0.5, 0.5, 0]]])


def test_storing_hardly_changes_the_crf(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, STORED)
    exact, stored = (
        dense_crf(values[None], IMAGE[None], engine="exact")
        for values in (STORED, cache.load(IMAGE))
    )
    assert np.abs(exact - stored).mean() < 1e-4


@pytest.mark.parametrize(
    "changed",
    [{"model": "abd"}, {"settings": {"scales": (1.0, 0.5), "flip": False}}, {"settings": {}}],
)
def test_another_model_or_setting_is_not_found(tmp_path, changed):
    make_cache(tmp_path).save(IMAGE, STORED)
    assert IMAGE not in make_cache(tmp_path, **changed)


def test_another_image_is_not_found(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, STORED)
    changed = IMAGE.copy()
    changed[19, 29, 2] ^= 1
    assert changed not in cache
    with pytest.raises(InputError, match="no probabilities of this image"):
        cache.load(changed)


def test_images_of_the_same_bytes_in_another_shape(tmp_path):
    cache = make_cache(tmp_path)
    turned = IMAGE.reshape(30, 20, 3), STORED.reshape(30, 20, 4)
    cache.save(IMAGE, STORED)
    cache.save(*turned)
    assert cache.load(IMAGE).shape == (20, 30, 4)
    assert cache.load(turned[0]).shape == (30, 20, 4)


def test_the_order_of_settings_does_not_matter(tmp_path):
    make_cache(tmp_path).save(IMAGE, STORED)
    turned = dict(reversed(CACHE_IDENTITY.items()))
    assert IMAGE in ProbabilityCache(tmp_path, turned, 4)


def test_damaged_files_are_not_used(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, STORED)
    path = cache.path(IMAGE)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:50], b"", b"text"):
        path.write_bytes(damaged)
        assert IMAGE not in cache
        with pytest.raises(InputError, match=path.name):
            cache.load(IMAGE)
    np.save(path, STORED)
    assert IMAGE not in cache
    np.save(path, STORED[:5].astype(np.float16))
    with pytest.raises(InputError, match=r"\(5, 30, 4\), not float16 \(20, 30, 4\)"):
        cache.load(IMAGE)
    cache.save(IMAGE, STORED)
    assert IMAGE in cache
    assert list(tmp_path.iterdir()) == [path]
