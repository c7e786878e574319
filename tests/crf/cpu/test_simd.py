"""Each vector operation inside a small kernel, against NumPy."""

import numpy as np
import pytest
from numba import njit

from crf.cpu.simd import (
    LANES,
    add,
    exp_of_nonpositive,
    fill,
    first_lanes,
    less,
    load,
    load_some,
    maximum,
    maximum_across,
    multiply,
    multiply_add,
    round_to_even,
    store,
    store_some,
    subtract,
    sum_across,
    where_equal,
)


@njit
def copy(source, start, target, position):
    store(target, position, load(source, start))


@njit
def copy_some(source, start, count, target, position):
    store(target, position, load_some(source, start, first_lanes(count)))


@njit
def write_some(source, count, target, position):
    store_some(target, position, load(source, 0), first_lanes(count))


@njit
def combine(x, y, z, sums, products, fused, greatest, spread):
    a, b, c = load(x, 0), load(y, 0), load(z, 0)
    store(sums, 0, add(a, b))
    store(products, 0, multiply(a, b))
    store(fused, 0, multiply_add(a, b, c))
    store(greatest, 0, maximum(a, b))
    store(spread, 0, fill(x[3]))


@njit
def compare(x, y, differences, below, chosen, rounded):
    a, b = load(x, 0), load(y, 0)
    store(differences, 0, subtract(a, b))
    store(below, 0, less(a, b))
    store(chosen, 0, where_equal(a, b, fill(np.float32(7))))
    store(rounded, 0, round_to_even(a))


@njit
def reduce(x, start):
    return sum_across(load(x, start)), maximum_across(load(x, start))


@njit
def exponentials(x, result):
    for position in range(0, len(x), LANES):
        store(result, position, exp_of_nonpositive(load(x, position)))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("start", [0, 1, 3, LANES])
@pytest.mark.parametrize("position", [0, 2, LANES])
def test_load_and_store_move_eight_values_at_any_offset(start, position):
    source, target = normal(2 * LANES), np.full(2 * LANES, 9, np.float32)
    copy(source, start, target, position)
    expected = np.full(2 * LANES, 9, np.float32)
    expected[position : position + LANES] = source[start : start + LANES]
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("count", range(LANES + 1))
def test_load_some_reads_zeros_beyond_the_row(count):
    row, target = np.full(3 * LANES, np.nan, np.float32), np.full(LANES, 9, np.float32)
    row[5 : 5 + count] = 1 + np.arange(count)
    copy_some(row, 5, count, target, 0)
    np.testing.assert_array_equal(target[:count], row[5 : 5 + count])
    np.testing.assert_array_equal(target[count:], np.zeros(LANES - count))


@pytest.mark.parametrize("count", range(LANES + 1))
def test_store_some_leaves_values_beyond_the_row(count):
    source, target = normal(LANES), np.full(2 * LANES, 9, np.float32)
    write_some(source, count, target, 3)
    np.testing.assert_array_equal(target[3 : 3 + count], source[:count])
    np.testing.assert_array_equal(np.delete(target, slice(3, 3 + count)), 9)


def test_the_last_row_of_an_array_ends_where_its_memory_ends():
    # A protected page follows the array: reading one element too many would end the process.
    guarded = _array_before_a_protected_page(5)
    guarded[:] = 1 + np.arange(5)
    target = np.empty(LANES, np.float32)
    copy_some(guarded, 0, 5, target, 0)
    np.testing.assert_array_equal(target, [1, 2, 3, 4, 5, 0, 0, 0])
    write_some(-target, 5, guarded, 0)
    np.testing.assert_array_equal(guarded, [-1, -2, -3, -4, -5])


def _array_before_a_protected_page(size):
    ctypes, mmap = pytest.importorskip("ctypes"), pytest.importorskip("mmap")
    protect = getattr(ctypes.CDLL(None), "mprotect", None)
    if protect is None:
        pytest.skip("needs mprotect")
    page = mmap.PAGESIZE
    # Never freed: the views below hold it until the process ends.
    memory = mmap.mmap(-1, 2 * page)
    pages = np.frombuffer(memory, np.uint8)
    assert protect(ctypes.c_void_p(pages.ctypes.data + page), ctypes.c_size_t(page), 0) == 0
    return pages[page - 4 * size : page].view(np.float32)


def test_comparison_and_rounding_by_hand():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.4, 2.6, 4194303.5], np.float32)
    y = np.array([-2.5, 0, -1, 0.5, 2, 2.4, 2.5, 1], np.float32)
    differences, below, chosen, rounded = np.empty((4, LANES), np.float32)
    compare(x, y, differences, below, chosen, rounded)
    np.testing.assert_array_equal(differences, x - y)
    assert below.tolist() == [0, 1, 0, 0, 1, 0, 0, 0]
    assert chosen.tolist() == [7, 0, 0, 7, 0, 7, 0, 0]
    assert rounded.tolist() == [-2, -2, 0, 0, 2, 2, 3, 4194304]


def test_arithmetic():
    x, y, z = normal(3, LANES)
    sums, products, fused, greatest, spread = np.empty((5, LANES), np.float32)
    combine(x, y, z, sums, products, fused, greatest, spread)
    np.testing.assert_array_equal(sums, x + y)
    np.testing.assert_array_equal(products, x * y)
    # Rounded once or twice, depending on the processor.
    np.testing.assert_allclose(fused, x.astype(float) * y + z, atol=3e-7)
    np.testing.assert_array_equal(greatest, np.maximum(x, y))
    np.testing.assert_array_equal(spread, np.full(LANES, x[3]))


@pytest.mark.parametrize("seed", range(4))
def test_reductions_take_all_eight_values(seed):
    x = normal(2 * LANES, seed=seed)
    total, top = reduce(x, 5)
    np.testing.assert_allclose(total, x[5 : 5 + LANES].sum(dtype=float), atol=1e-6)
    assert top == x[5 : 5 + LANES].max()


@pytest.mark.parametrize("lane", range(LANES))
def test_reductions_find_a_value_in_every_lane(lane):
    x = np.zeros(LANES, np.float32)
    x[lane] = 7
    assert reduce(x, 0) == (7, 7)
    assert reduce(x - 9, 0) == (7 - 9 * LANES, -2)


def test_exponential_is_within_3e_7():
    # Includes the ends of the range and the jumps from one power of two to the next.
    jumps = np.arange(-125, 1) * np.log(2) + np.log(2) / 2
    near = (jumps[jumps <= 0][:, None] + np.linspace(-1e-4, 1e-4, 64)).ravel()
    x = np.concatenate([np.linspace(-87, 0, 500_000), -np.geomspace(1e-30, 1, 4096), near])
    x = np.clip(x, -87, 0).astype(np.float32)
    x = np.append(x, np.zeros(-len(x) % LANES, np.float32))
    result = np.empty_like(x)
    exponentials(x, result)
    exact = np.exp(x.astype(float))
    assert np.abs(result / exact - 1).max() < 3e-7
    assert (result[x == 0] == 1).all()


def test_exponential_below_minus_87_is_that_of_minus_87():
    x = np.array([-87, -87.5, -88, -103, -104, -1e4, -3e38, -np.inf], np.float32)
    result = np.empty_like(x)
    exponentials(x, result)
    np.testing.assert_array_equal(result, np.full(LANES, result[0]))
    np.testing.assert_allclose(result[0], np.exp(-87), rtol=3e-7)
