import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.depth_errors import TITLES, DepthErrors


def errors(*pairs):
    found = DepthErrors()
    for truth, depth in pairs:
        found.add(np.float32(truth), np.float32(depth))
    return found


def test_by_hand():
    found = errors(([[1, 2, 4, 0]], [[1, 4, 2, 9]]))
    assert found.pixels == 3
    assert found.rmse == pytest.approx(np.sqrt((0 + 4 + 4) / 3))
    assert found.rmse_log == pytest.approx(np.sqrt(2 / 3) * np.log(2))
    assert found.abs_rel == pytest.approx((0 + 1 + 0.5) / 3)
    assert found.sq_rel == pytest.approx((0 + 2 + 1) / 3)
    assert found.log10 == pytest.approx(2 / 3 * np.log10(2))
    assert found.scale_invariant_log == pytest.approx(found.rmse_log)  # the mean error is 0
    assert (found.delta1, found.delta2, found.delta3) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_the_deltas_are_for_both_directions():
    found = errors(([[1, 1, 1, 1, 1, 1]], [[1.24, 1 / 1.24, 1.56, 1 / 1.56, 1.95, 1 / 1.96]]))
    assert (found.delta1, found.delta2, found.delta3) == pytest.approx((2 / 6, 4 / 6, 5 / 6))


def test_one_factor_for_each_image_is_free_in_the_scale_invariant_error():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(1, 9, (2, 3, 4))
    found = errors((first, 3 * first), (second, second / 2))
    assert found.scale_invariant_log == pytest.approx(0, abs=1e-6)
    assert found.rmse_log == pytest.approx(np.sqrt((np.log(3) ** 2 + np.log(2) ** 2) / 2), rel=1e-5)


def test_all_pixels_weigh_the_same_whatever_their_image():
    rng = np.random.default_rng(1)
    truth, depth = rng.uniform(1, 9, (2, 4, 6))
    whole, parts = errors((truth, depth)), errors((truth[:1], depth[:1]), (truth[1:], depth[1:]))
    for name in TITLES:
        if name != "scale_invariant_log":  # the images have scales of their own
            assert getattr(whole, name) == pytest.approx(getattr(parts, name)), name
    assert parts.scale_invariant_log < whole.scale_invariant_log


@pytest.mark.parametrize("unknown", [0, -1, np.nan, np.inf])
def test_unknown_truth_is_left_out(unknown):
    assert errors(([[2, unknown]], [[2, 7]])).rmse == 0
    assert errors(([[unknown]], [[7]])).pixels == 0


def test_nothing_counted():
    found = DepthErrors()
    assert np.isnan(found.rmse) and np.isnan(found.delta1)
    assert found.to_dict() == {**dict.fromkeys(TITLES), "pixels": 0}
    assert found.table().splitlines()[0].endswith(" -")


def test_the_table_and_the_dict_hold_every_error():
    found = errors(([[1, 2]], [[1, 4]]))
    assert found.to_dict()["delta1"] == 0.5 and found.to_dict()["pixels"] == 2
    lines = found.table().splitlines()
    assert len(lines) == len(TITLES) == 9
    assert lines[2].split() == ["absolute", "relative", "0.5000"]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match=r"true depth is \(1, 2\) and predicted depth \(2, 1\)"):
        errors(([[1, 2]], [[1], [2]]))
    for wrong in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="not a finite number above 0"):
            errors(([[1]], [[wrong]]))
        errors(([[0]], [[wrong]]))  # nobody looks at it
