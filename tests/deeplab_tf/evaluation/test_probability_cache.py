import numpy as np
import pytest

from crf import dense_crf
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.probability_cache import ProbabilityCache

IDENTITY = {"model": "abc", "settings": {"scales": (1.0,), "flip": False}}
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
PROBABILITIES = RNG.dirichlet([0.3] * 4, (20, 30)).astype(np.float32)


def make_cache(folder, **changed):
    return ProbabilityCache(folder, {**IDENTITY, **changed}, 4)


def test_what_is_saved_is_loaded(tmp_path):
    cache = make_cache(tmp_path / "new")
    assert IMAGE not in cache
    cache.save(IMAGE, PROBABILITIES)
    assert IMAGE in cache
    loaded = cache.load(IMAGE)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, PROBABILITIES, rtol=1.5e-3, atol=1.1e-5)
    np.testing.assert_allclose(loaded.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(make_cache(tmp_path / "new").load(IMAGE), loaded)
    (file,) = (tmp_path / "new").iterdir()
    assert file == cache.path(IMAGE)
    assert file.stat().st_size < 2 * PROBABILITIES.size + 200


def test_values_by_hand(tmp_path):
    """Halves are exact in float16; what the CRF takes for 0 becomes 0."""
    cache = ProbabilityCache(tmp_path, IDENTITY, 3)
    image = np.zeros((1, 2, 3), np.uint8)
    cache.save(image, np.float32([[[0.5, 0.25, 0.25], [0.5, 0.5 - 4e-6, 4e-6]]]))
    np.testing.assert_array_equal(cache.load(image), [[[0.5, 0.25, 0.25], [0.5, 0.5, 0]]])


def test_the_crf_accepts_and_hardly_notices(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, PROBABILITIES)
    exact, stored = (
        dense_crf(values[None], IMAGE[None], engine="exact")
        for values in (PROBABILITIES, cache.load(IMAGE))
    )
    assert np.abs(exact - stored).mean() < 1e-4


@pytest.mark.parametrize(
    "changed",
    [{"model": "abd"}, {"settings": {"scales": (1.0, 0.5), "flip": False}}, {"settings": {}}],
)
def test_another_model_or_setting_is_not_found(tmp_path, changed):
    make_cache(tmp_path).save(IMAGE, PROBABILITIES)
    assert IMAGE not in make_cache(tmp_path, **changed)


def test_another_image_is_not_found(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, PROBABILITIES)
    changed = IMAGE.copy()
    changed[19, 29, 2] ^= 1
    assert changed not in cache
    with pytest.raises(InputError, match="no probabilities of this image"):
        cache.load(changed)


def test_images_of_the_same_bytes_in_another_shape(tmp_path):
    cache = make_cache(tmp_path)
    turned = IMAGE.reshape(30, 20, 3), PROBABILITIES.reshape(30, 20, 4)
    cache.save(IMAGE, PROBABILITIES)
    cache.save(*turned)
    assert cache.load(IMAGE).shape == (20, 30, 4)
    assert cache.load(turned[0]).shape == (30, 20, 4)


def test_the_order_of_settings_is_no_difference(tmp_path):
    make_cache(tmp_path).save(IMAGE, PROBABILITIES)
    turned = dict(reversed(IDENTITY.items()))
    assert IMAGE in ProbabilityCache(tmp_path, turned, 4)


def test_damaged_files_are_not_used(tmp_path):
    cache = make_cache(tmp_path)
    cache.save(IMAGE, PROBABILITIES)
    path = cache.path(IMAGE)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:50], b"", b"text"):
        path.write_bytes(damaged)
        assert IMAGE not in cache
        with pytest.raises(InputError, match=path.name):
            cache.load(IMAGE)
    np.save(path, PROBABILITIES)
    assert IMAGE not in cache
    np.save(path, PROBABILITIES[:5].astype(np.float16))
    with pytest.raises(InputError, match=r"\(5, 30, 4\), not float16 \(20, 30, 4\)"):
        cache.load(IMAGE)
    cache.save(IMAGE, PROBABILITIES)
    assert IMAGE in cache
    assert list(tmp_path.iterdir()) == [path]
