"""Small cases of every kind, with what pydensecrf itself gave.

`python benchmarks/crf_drop_in.py --binding_python=PATH --golden_dir=tests/crf/pydensecrf/golden`
wrote the files.
"""

from pathlib import Path

import numpy as np
import pytest

import crf.pydensecrf.densecrf as densecrf
from benchmarks.drop_in_cases import infer
from crf.pydensecrf import utils

CASES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


def test_there_are_cases_of_every_kind():
    kinds = {path.stem.rstrip("0123456789") for path in CASES}
    assert kinds == {"channels", "matrix", "points", "rgb", "usual", "vector", "volume"}
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
