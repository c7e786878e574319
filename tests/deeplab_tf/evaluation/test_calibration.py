import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.calibration import Calibration

TRUTH = np.uint8([[0, 0, 1, 1, 255]])
PREDICTION = np.uint8([[0, 1, 1, 1, 0]])
CONFIDENCE = np.float32([[0.625, 0.875, 0.75, 1.0, 0.5]])


def test_by_hand():
    """Two bins: below 0.5 nothing; above it three of four pixels are right."""
    calibration = Calibration(bins=2)
    calibration.add(TRUTH, PREDICTION, CONFIDENCE, 2)
    np.testing.assert_allclose(calibration.sums, [[0, 4], [0, 3], [0, 3.25]])
    assert calibration.error == pytest.approx(3.25 / 4 - 3 / 4)
    assert calibration.to_dict() == {
        "expected_calibration_error": 0.0625,
        "pixels": [0, 4],
        "accuracy": [None, 0.75],
        "confidence": [None, 0.8125],
    }


def test_errors_of_several_bins_do_not_cancel():
    calibration = Calibration(bins=4)
    calibration.add(TRUTH, PREDICTION, CONFIDENCE, 2)
    # 0.5 to 0.75: right with 0.625; above: two of three right, mean confidence 0.875.
    assert calibration.error == pytest.approx((1 * 0.375 + 3 * (0.875 - 2 / 3)) / 4)


def test_images_add_up():
    one, two = Calibration(), Calibration()
    for columns in ([0, 1], [2, 3, 4]):
        one.add(TRUTH[:, columns], PREDICTION[:, columns], CONFIDENCE[:, columns], 2)
    two.add(TRUTH, PREDICTION, CONFIDENCE, 2)
    np.testing.assert_allclose(one.sums, two.sums)


def test_before_anything_is_counted():
    assert np.isnan(Calibration().error)
    assert Calibration().to_dict()["expected_calibration_error"] is None


def test_a_value_that_is_no_class_is_refused():
    with pytest.raises(InputError, match="prediction value 1 but only 1 classes"):
        Calibration().add(TRUTH * 0, PREDICTION, CONFIDENCE, 1)
