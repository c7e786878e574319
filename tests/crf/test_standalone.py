"""The CRF needs NumPy and numba only; `make test-crf` runs this where nothing else is installed."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matrix_crf import costs_of, gaussian_matrix, mean_field

import crf
import crf.pydensecrf.densecrf as dcrf
from crf.pydensecrf import utils

README = Path(__file__).resolve().parents[2] / "README.md"


def readme_examples():
    """The blocks of Python in README's section on the CRF."""
    section = README.read_text().partition("## Use the CRF")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed here")
def test_nothing_else_is_installed():
    for name in ("keras", "scipy", "cv2", "PIL", "absl", "matplotlib", "hypothesis"):
        assert find_spec(name) is None, name
    # What pip installed is tested, not the checkout.
    assert Path(crf.__file__).parents[1].name == "site-packages"
    for name in ("DenseCRF", "dense_crf", "ENGINES"):
        with pytest.raises(ModuleNotFoundError, match=f"crf.{name} needs .*pip install tensorflow"):
            getattr(crf, name)


def test_the_example_of_the_readme_finds_the_rectangle():
    names = {}
    (code,) = [block for block in readme_examples() if "import numpy" in block]
    exec(compile(code, str(README), "exec"), names)
    truth = names["image"][..., 0] > 100
    before, after = (names[key].argmax(axis=-1) == truth for key in ("probabilities", "refined"))
    assert before.mean() < 0.75 and after.mean() > 0.99
    assert names["refined"].dtype == np.float32


def test_inference_in_a_volume_equals_sums_over_all_pairs():
    rng = np.random.default_rng(0)
    unary = rng.random((3, 4, 5, 2))
    kernel = crf.Kernel(crf.grid_features((3, 4, 5), sigma=2, spacing=(2.5, 1, 1)), 2)
    result = crf.infer(unary, kernel, 3, engine="exact")
    terms = [(gaussian_matrix(kernel.features, "symmetric"), costs_of(2, 2))]
    wanted = mean_field(unary.reshape(60, 2), terms, 3).reshape(3, 4, 5, 2)
    np.testing.assert_allclose(result.marginals, wanted, atol=1e-6)
    np.testing.assert_allclose(crf.infer(unary, kernel, 3).marginals, wanted, atol=0.02)


def test_the_drop_in_removes_noise_from_labels():
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 41), int)
    truth[8:22, 10:30] = 1
    image = (90 + 80 * truth[..., None] + rng.integers(0, 9, (30, 41, 3))).astype(np.uint8)
    labels = np.where(rng.random(truth.shape) < 0.25, 1 - truth, truth)
    model = dcrf.DenseCRF2D(41, 30, 2)
    model.setUnaryEnergy(utils.unary_from_labels(labels, 2, gt_prob=0.7, zero_unsure=False))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=20, srgb=20, rgbim=image, compat=5)
    found = model.map(5).reshape(truth.shape)
    assert (labels == truth).mean() < 0.8 and (found == truth).mean() > 0.99
