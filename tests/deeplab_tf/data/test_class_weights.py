import functools

import numpy as np
import pytest
from planted import blocks, write_example

from deeplab_tf.data.class_weights import balanced_weights, inverse_frequency, median_frequency
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, LabelEncoding


@pytest.fixture
def examples(tmp_path):
    """Two labels of 32x32: eighths of the classes 0, 0, 0, 1 and void, and of 0 and 2."""
    make = functools.partial(write_example, tmp_path)
    return [
        make("a", blocks(0, 0, 0, 0, 0, 0, 1, VOID)),
        make("b", blocks(0, 0, 0, 0, 2, 2, 2, 2)),
    ]


def test_frequencies_by_hand(examples):
    # Of 8 columns each: class 0 fills 10 of 16, class 1 one of 8, class 2 four of 8.
    weights = balanced_weights("median_frequency", examples, 3)
    np.testing.assert_allclose(weights, [0.5 / (10 / 16), 0.5 / (1 / 8), 1])
    # Of 15 labeled columns, an equal share of 5 for each class.
    weights = balanced_weights("inverse_frequency", examples, 3)
    np.testing.assert_allclose(weights, [5 / 10, 5 / 1, 5 / 4])


def test_a_class_that_does_not_occur_does_not_change_the_others(examples):
    for balancing in ("median_frequency", "inverse_frequency"):
        weights = balanced_weights(balancing, examples, 4)
        assert weights == (*balanced_weights(balancing, examples, 3), 1)


def test_ignored_values_are_void(examples):
    # Value 1 is ignored, so class 1 is the value 2.
    weights = balanced_weights("inverse_frequency", examples, 2, LabelEncoding((0, VOID, 1)))
    np.testing.assert_allclose(weights, [7 / 10, 7 / 4])


def test_functions_of_counts():
    pixels, image_pixels = np.array([60, 30, 10]), np.array([100, 100, 50])
    np.testing.assert_allclose(median_frequency(pixels, image_pixels), [0.5, 1, 1.5])
    np.testing.assert_allclose(inverse_frequency(np.array([60, 30, 0])), [0.75, 1.5, 1])


def test_what_gives_no_weights(examples, tmp_path):
    with pytest.raises(InputError, match="'equal'; available: inverse_frequency, median_frequency"):
        balanced_weights("equal", examples, 3)
    void = write_example(tmp_path, "c", blocks(VOID, VOID))
    with pytest.raises(InputError, match="all pixels of all labels are void"):
        balanced_weights("median_frequency", [void], 3)
    with pytest.raises(InputError, match=r"b\.png: label value 2 but only 2 classes"):
        balanced_weights("median_frequency", examples, 2)
