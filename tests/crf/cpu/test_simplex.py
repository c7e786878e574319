"""The kernels that find simplices; tests/crf/cpu/test_lattice.py has their results."""

from crf.cpu.simplex import simplex_kernel


def test_kernels_of_different_dimensions_have_different_names():
    # Numba gives functions of one name, and their files in the cache, one name too.
    names = {simplex_kernel(d).py_func.__qualname__ for d in (2, 3, 5)}
    assert names == {"find_simplices_2", "find_simplices_3", "find_simplices_5"}
