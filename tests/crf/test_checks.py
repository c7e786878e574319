import numpy as np
import pytest

from crf.checks import check_num_threads, check_prune_below


def message_of(function, *arguments):
    """The one line that a check raises."""
    with pytest.raises(ValueError, match=r"^dense_crf: ") as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_prune_below_must_be_a_probability(value):
    message = message_of(check_prune_below, value)
    assert f"prune_below must be a probability, not {value}" in message


def test_number_of_threads_becomes_a_plain_integer():
    assert check_num_threads(None) is None
    assert type(check_num_threads(np.int64(3))) is int


@pytest.mark.parametrize("value", [0, -2, True, 2.0, "2"])
def test_number_of_threads_must_be_a_positive_integer(value):
    message = message_of(check_num_threads, value)
    assert f"num_threads must be a whole number of at least 1, not {value!r}" in message
