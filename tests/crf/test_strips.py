"""Images refined in overlapping strips, against whole images."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scene import scene as random_scene

from crf import CRFParams, refine
from crf.cpu.lattice import _kept_spatial
from crf.strips import plan_strips, strip_bytes

scene = partial(random_scene, levels=(90, 160))
PARAMS = CRFParams(w1=3, sigma_alpha=3, sigma_beta=30, w2=2, sigma_gamma=1, iterations=3)


def memory_of(lines, shorter, labels=3):
    return strip_bytes(lines, shorter, labels)


def test_strips_by_hand():
    # 20 rows of 4 pixels; 8 rows fit, of which an overlap of 2 leaves 4.
    strips = plan_strips((20, 4, 3), PARAMS, memory_of(8, 4), overlap=2)
    columns = slice(0, 4)
    assert [strip.kept for strip in strips] == [
        (slice(4 * k, 4 * k + 4), columns) for k in range(5)
    ]
    assert [strip.seen[0] for strip in strips] == [
        slice(0, 6), slice(2, 10), slice(6, 14), slice(10, 18), slice(14, 20)
    ]  # fmt: skip
    assert strips[1].kept_of_seen == (slice(2, 6), columns)
    # The longer side is cut, here the columns.
    (strip, *_) = plan_strips((4, 20, 3), PARAMS, memory_of(8, 4), overlap=2)
    assert strip == ((columns, slice(0, 6)), (columns, slice(0, 4)))


@settings(max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    overlap=st.integers(0, 12),
    lines=st.integers(1, 100),
)
def test_strips_cover_the_image_once_and_fit_the_memory(height, width, overlap, lines):
    memory = memory_of(lines, min(height, width))
    try:
        strips = plan_strips((height, width, 3), PARAMS, memory, overlap)
    except ValueError as error:
        assert lines < 2 * overlap + max(1, overlap // 2)
        assert "refine: max_memory is " in str(error)
        return
    kept = np.zeros((height, width), int)
    for strip in strips:
        kept[strip.kept] += 1
        seen = np.zeros((height, width), bool)
        seen[strip.seen] = True
        assert seen[strip.kept].all() and memory_of(1, seen.sum()) <= memory
    assert (kept == 1).all()
    assert (len(strips) == 1) == (lines >= max(height, width))


def test_the_default_overlap_is_of_the_widest_kernel_in_use():
    def overlap(**changes):
        params = CRFParams(**{"sigma_alpha": 7, "sigma_gamma": 20} | changes)
        first, *_ = plan_strips((1000, 2, 2), params, memory_of(200, 2, 2))
        return first.seen[0].stop - first.kept[0].stop

    assert (overlap(), overlap(w2=0), overlap(w1=0, sigma_alpha=80)) == (40, 14, 40)
    assert overlap(w1=0, w2=0) == 0


def test_images_that_fit_the_memory_share_their_spatial_lattice():
    given = scene(11, 13)
    refine(*given, PARAMS)
    before = _kept_spatial.cache_info().hits
    refine(*given, PARAMS, max_memory=memory_of(13, 11))
    assert _kept_spatial.cache_info().hits == before + 1


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
@pytest.mark.parametrize("options", [{}, {"prune_below": 0.9}, {"damping": 0.3}])
def test_strips_are_close_to_the_whole_and_a_single_one_is_the_whole(shape, options):
    given = scene(*shape)
    whole = refine(*given, PARAMS, **options)
    strips = refine(*given, PARAMS, max_memory=memory_of(39, 6), overlap=15, **options)
    np.testing.assert_allclose(strips, whole, atol=2e-3)
    assert strips.dtype == np.float32
    ample = refine(*given, PARAMS, max_memory=memory_of(40, 6), **options)
    np.testing.assert_array_equal(ample, whole)


def test_the_error_falls_with_the_overlap_and_is_at_the_seams():
    given = scene(120, 9)
    whole, errors = refine(*given, PARAMS), []
    for overlap in (0, 3, 6, 12, 24):
        memory = memory_of(60 + 2 * overlap, 9)
        found = refine(*given, PARAMS, max_memory=memory, overlap=overlap)
        errors.append(np.abs(found - whole).max(axis=(1, 2)))
    worst = [error.max() for error in errors]
    assert worst[0] > 0.05 and worst[4] < 1e-5
    assert all(wider < narrower / 2 for narrower, wider in pairwise(worst))
    # A strip has the lattice of the whole image, so that far from the seam nothing changes.
    assert errors[0][:30].max() < 1e-5 and errors[0][90:].max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"self_messages": False}])
def test_strips_are_the_same_in_any_call_and_with_any_number_of_threads(options):
    given = scene(50, 8)
    limits = {"max_memory": memory_of(25, 8), **options}
    first = refine(*given, PARAMS, num_threads=1, **limits)
    assert np.abs(first - refine(*given, PARAMS, **options)).max() > 0
    for threads in (1, 3, None):
        np.testing.assert_array_equal(refine(*given, PARAMS, num_threads=threads, **limits), first)


def test_a_label_that_is_probable_anywhere_is_active_in_every_strip():
    probabilities = np.full((60, 5, 2), [0.98, 0.02], np.float32)
    probabilities[:5] = 0.3, 0.7
    image = np.full((60, 5, 3), 80, np.uint8)
    limits = {"max_memory": memory_of(30, 5, 2), "overlap": 6}
    found = refine(probabilities, image, PARAMS, prune_below=0.5, **limits)
    np.testing.assert_array_equal(found, refine(probabilities, image, PARAMS, **limits))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_memory": 0}, "max_memory must be a number of bytes above 0, not 0"),
        ({"max_memory": np.nan}, "max_memory must be a number of bytes above 0"),
        ({"max_memory": True}, "max_memory must be a number of bytes above 0, not True"),
        ({"max_memory": "2 GB"}, "max_memory must be a number of bytes above 0"),
        ({"max_memory": 1e9, "overlap": -1}, "overlap must be a whole number of at least 0"),
        ({"max_memory": 1e9, "overlap": 0.5}, "overlap must be a whole number of at least 0"),
        ({"overlap": 3}, "overlap has no effect without max_memory"),
        ({"max_memory": 10}, "take at least 0.019 GB; give more, or a smaller overlap"),
    ],
)
def test_bad_limits_are_one_line(options, message):
    with pytest.raises(ValueError, match=r"^refine: ") as error:
        refine(*scene(1000, 40), CRFParams(sigma_alpha=400), **options)
    assert message in str(error.value) and "\n" not in str(error.value)
