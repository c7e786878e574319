"""Small cases of every kind, with what pydensecrf itself gave.

`python benchmarks/crf_drop_in.py --binding_python=PATH --golden_dir=tests/crf/pydensecrf/golden`
wrote the files.
"""

from pathlib import Path

import numpy as np
import pytest

import crf.pydensecrf.densecrf as densecrf
from benchmarks.drop_in_cases import KINDS, infer
from benchmarks.drop_in_exact import marginals
from crf.pydensecrf import utils

CASES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


def test_there_are_cases_of_every_kind():
    kinds = {path.stem.rstrip("0123456789") for path in CASES}
    assert kinds == set(KINDS)
    assert len(CASES) >= 20


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_result_is_that_of_the_binding(path):
    with np.load(path) as case:
        case = dict(case)
    ours = infer(case, densecrf, utils, int(case["iterations"]))
    for name in ("inference", "stepped"):
        theirs = case["their_inference"]
        assert np.abs(ours[name] - theirs).mean() < 1e-6
        assert (ours[name].argmax(axis=0) == theirs.argmax(axis=0)).mean() > 0.999
    np.testing.assert_allclose(ours["divergence"], case["their_divergence"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_kernel_and_infer_are_as_close_to_exact_inference_as_the_binding(path):
    with np.load(path) as case:
        case = dict(case)
    iterations = int(case["iterations"])
    exact, own = (marginals(case, iterations, engine) for engine in ("exact", "lattice"))
    theirs = np.abs(case["their_inference"] - exact).mean()
    # For few points, the binding's filling points change the fourth digit.
    assert np.abs(own - exact).mean() <= theirs + 1e-4
    # Without normalization, lattices differ much more from exact inference.
    assert theirs < (0.3 if "NO_NORMALIZATION" in str(case["calls"]) else 0.05)
