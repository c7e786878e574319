import numpy as np
import pytest

from crf.pydensecrf import eigen


@pytest.mark.parametrize(
    ("convert", "values"), [(eigen.vectorXf, [1, 2]), (eigen.matrixXf, [[1, 2], [3, 4], [5, 6]])]
)
def test_conversions_are_copies(convert, values):
    given = np.array(values, np.float32)
    converted = convert(given)
    np.testing.assert_array_equal(converted, values)
    given[0] = 9
    np.testing.assert_array_equal(converted, values)


@pytest.mark.parametrize(
    ("convert", "shape", "wanted"),
    [
        (eigen.vectorXf, (2, 2), r"arr must be \(n,\), not \(2, 2\)"),
        (eigen.matrixXf, (3, 3, 3), r"arr must be \(rows, columns\), not \(3, 3, 3\)"),
    ],
)
def test_wrong_shapes(convert, shape, wanted):
    with pytest.raises(ValueError, match=wanted):
        convert(np.zeros(shape, np.float32))


def test_wrong_types():
    with pytest.raises(ValueError, match=r"must be float32, not float64; give arr\.astype"):
        eigen.matrixXf(np.zeros((3, 3)))
    with pytest.raises(TypeError, match=r"must be a NumPy array of float32 .*not NoneType"):
        eigen.matrixXf(None)
