"""`crf.refine`: NumPy in and out, without TensorFlow."""

import numpy as np
import pytest
from fresh_process import run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scene import scene

import crf
from crf import CRFParams, image_kernels, infer, refine, unary_from_probabilities
from crf.strips import strip_bytes

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=2)
GOOD_P, GOOD_I = scene()


def message_of(*arguments, **options):
    with pytest.raises(ValueError, match=r"^(refine|crf): ") as error:
        refine(*arguments, **options)
    assert "\n" not in str(error.value) and "tf." not in str(error.value)
    return str(error.value)


def test_two_unlike_pixels_by_hand():
    # Black and white pixels exchange no messages; each gets w1 times its own marginals, as its row
    # sum is the kernel's value at distance 0.
    probabilities = np.float32([[[0.8, 0.2], [0.3, 0.7]]])
    image = np.uint8([[[0, 0, 0], [255, 255, 255]]])
    scores = np.log(probabilities) + 2 * probabilities
    wanted = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    refined = refine(probabilities, image, CRFParams(w1=2, w2=0, iterations=1))
    np.testing.assert_allclose(refined, wanted, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"num_threads": 1}, {"prune_below": 0.1}])
def test_equals_dense_crf(options):
    batch = crf.dense_crf(GOOD_P[None], GOOD_I[None], PARAMS, "numba", **options)
    np.testing.assert_array_equal(refine(GOOD_P, GOOD_I, PARAMS, **options), batch[0])


def test_uses_the_defaults_and_a_compatibility():
    defaults = crf.dense_crf(GOOD_P[None], GOOD_I[None], engine="numba")
    np.testing.assert_array_equal(refine(GOOD_P, GOOD_I), defaults[0])
    costs = CRFParams(compatibility=[[0, 2, 1], [1, 0, 1], [1, 1, 0]], iterations=3)
    wanted = crf.dense_crf(GOOD_P[None], GOOD_I[None], costs, "numba")
    np.testing.assert_array_equal(refine(GOOD_P, GOOD_I, costs), wanted[0])


@settings(max_examples=30)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    labels=st.integers(2, 18),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    order=st.sampled_from(["C", "F", "flipped", "strided"]),
)
def test_any_shape_type_and_memory_order(height, width, labels, dtype, order):
    probabilities, image = scene(height, width, labels)
    probabilities = probabilities.astype(dtype)
    wanted = refine(np.array(probabilities, np.float32), image, PARAMS)

    def arranged(array):
        if order == "flipped":
            return array[::-1].copy()[::-1]
        if order == "strided":
            return np.repeat(array, 2, axis=1)[:, ::2]
        return np.array(array, order=order)

    given = arranged(probabilities), arranged(image)
    before = [array.copy() for array in given]
    refined = refine(*given, PARAMS)
    assert refined.dtype == np.float32 and refined.shape == (height, width, labels)
    np.testing.assert_array_equal(refined, wanted)
    np.testing.assert_allclose(refined.sum(axis=-1), 1, atol=1e-5)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert array.flags.writeable


def test_lists_and_read_only_arrays():
    frozen = GOOD_P.copy()
    frozen.flags.writeable = False
    wanted = refine(GOOD_P, GOOD_I, PARAMS)
    np.testing.assert_array_equal(refine(frozen, GOOD_I, PARAMS), wanted)
    np.testing.assert_allclose(refine(GOOD_P.tolist(), GOOD_I, PARAMS), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "image", "message"),
    [
        (GOOD_P[None], GOOD_I[None], "takes one image, crf.refine_batch a batch"),
        (GOOD_P[0], GOOD_I, "needs (H, W, C) and (H, W, 3)"),
        (GOOD_P, GOOD_I[None], "needs (H, W, C) and (H, W, 3)"),
        (GOOD_P, GOOD_I[..., 0], "for gray images, np.repeat(image[..., None], 3, axis=-1), and a"),
        (GOOD_P, GOOD_I[..., :1], "for gray images, np.repeat(image, 3, axis=-1)"),
        (GOOD_P, GOOD_I[..., [0, 1, 2, 0]], "drop the alpha channel: image[..., :3]"),
        (GOOD_P, np.swapaxes(GOOD_I, 0, 1), "height and width must agree"),
        (GOOD_P[:0], GOOD_I[:0], "is empty"),
        ((GOOD_P * 255).astype(np.uint8), GOOD_I, "must be floating, not uint8"),
        (GOOD_P, GOOD_I / np.float32(255), "multiply by 255 and convert the result with np.clip"),
        (GOOD_P, GOOD_I.astype(np.float64), "them with np.clip(image, 0, 255).astype(np.uint8)"),
        (GOOD_P, GOOD_I.astype(np.uint16) * 257, "divide by 257"),
        (GOOD_P, GOOD_I.astype(complex), "not complex128"),
        (GOOD_P * np.nan, GOOD_I, "NaN or infinite"),
        (GOOD_P - 0.5, GOOD_I, "scores need a softmax first"),
        (GOOD_P[..., :1], GOOD_I, "np.concatenate([1 - p, p], axis=-1)"),
        (GOOD_P[..., :1] * 9, GOOD_I, "with p = 1 / (1 + np.exp(-scores))"),
        (GOOD_P * 100, GOOD_I, "all pixels' sums are about 100: divide by them"),
    ],
)
def test_bad_input_is_one_line_in_terms_of_numpy(probabilities, image, message):
    assert message in message_of(probabilities, image, PARAMS)


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({"w1": 3}, {}, "params must be a CRFParams"),
        (PARAMS, {"prune_below": 2}, "prune_below must be a probability"),
        (PARAMS, {"num_threads": 0}, "num_threads must be a whole number of at least 1"),
        (CRFParams(compatibility=np.eye(2)), {}, "is for 2 labels, but there are 3"),
        (CRFParams(compatibility=np.eye(3)), {"prune_below": 0.1}, "in the Potts model"),
        (CRFParams(sigma_gamma=1e-9), {}, "choose larger sigmas"),
    ],
)
def test_bad_options_are_one_line(params, options, message):
    assert message in message_of(GOOD_P, GOOD_I, params, **options)


@pytest.mark.parametrize("bad", ["3", b"3", 1j, np.nan, [[1, 2], [3]], {}, True, -1])
@pytest.mark.parametrize(
    "name",
    [
        "probabilities",
        "image",
        "params",
        "num_threads",
        "prune_below",
        "damping",
        "tolerance",
        "self_messages",
        "max_memory",
        "overlap",
    ],
)
def test_nonsense_is_one_line_that_names_the_argument(name, bad):
    if name == "self_messages" and bad is True:
        pytest.skip("True is the default")
    arguments = {"probabilities": GOOD_P, "image": GOOD_I, "params": PARAMS, name: bad}
    with pytest.raises(ValueError, match=rf"^refine: .*\b{name}\b") as error:
        refine(**arguments)
    assert "\n" not in str(error.value)


def test_warnings():
    with pytest.warns(UserWarning, match="refine: the image holds only the values 0 and 1"):
        refine(GOOD_P, GOOD_I % 2, PARAMS)
    with pytest.warns(UserWarning, match="refine: every pixel gets label 0") as caught:
        refine(np.ones((6, 7, 1), np.float32), GOOD_I, PARAMS)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("limits", [{}, {"max_memory": strip_bytes(6, 6, 3), "overlap": 1}])
def test_a_warning_that_it_has_not_converged_is_at_the_call_of_refine(limits):
    with pytest.warns(UserWarning) as caught:
        refine(GOOD_P, GOOD_I, PARAMS, tolerance=0, **limits)
    assert len(caught) == (2 if limits else 1)
    for warning in caught:
        assert str(warning.message).startswith("refine: not converged after 2 iterations: ")
        assert warning.filename == __file__


def test_16_bit_softmax_with_its_rounding_errors():
    probabilities = np.full((2, 3, 2), 0.5, np.float16)
    probabilities[0, 0, 1] += np.float16(3 / 1024)
    assert refine(probabilities, GOOD_I[:2, :3], PARAMS).shape == (2, 3, 2)


def test_runs_without_tensorflow():
    # None in sys.modules makes an import fail as if the package were not installed.
    done = run_python("""
        import sys
        for name in ("tensorflow", "keras", "cv2", "PIL", "scipy", "absl", "tqdm"):
            sys.modules[name] = None
        import numpy as np
        import crf
        p = np.full((4, 5, 2), 0.5, np.float32)
        p[1:3, 1:3] = 0.9, 0.1
        refined = crf.refine(p, np.full((4, 5, 3), 9, np.uint8), crf.CRFParams(iterations=2))
        assert refined.shape == p.shape and (refined[..., 0] > 0.5).all()
        for name in ("DenseCRF", "dense_crf", "ENGINES"):
            assert name in dir(crf)
            try:
                getattr(crf, name)
            except ModuleNotFoundError as error:
                print(error)
        assert not hasattr(crf, "nothing")
    """)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("DenseCRF", "dense_crf", "ENGINES"), strict=True):
        assert line.startswith(f"crf.{name} needs ") and "pip install tensorflow" in line


def test_importing_crf_loads_neither_tensorflow_nor_other_packages():
    run_python("""
        import sys
        import crf
        import crf.search
        import crf.pydensecrf.densecrf
        import crf.pydensecrf.utils
        # numba imports SciPy where it is installed.
        heavy = {"tensorflow", "keras", "cv2", "PIL", "absl", "tqdm"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """)


def test_names_that_need_tensorflow_are_the_same_objects_from_both_places():
    assert crf.dense_crf is crf.dense.dense_crf and crf.DenseCRF is crf.layer.DenseCRF
    assert set(crf.__all__) <= set(dir(crf)) and all(hasattr(crf, name) for name in crf.__all__)


def test_options_of_the_general_engine():
    unary = unary_from_probabilities(GOOD_P)
    for options in ({"self_messages": False}, {"damping": 0.5}):
        wanted = infer(unary, image_kernels(GOOD_I, PARAMS), 2, **options).marginals
        np.testing.assert_array_equal(refine(GOOD_P, GOOD_I, PARAMS, **options), wanted)
        assert np.abs(wanted - refine(GOOD_P, GOOD_I, PARAMS)).max() > 1e-3
        assert "give prune_below=0" in message_of(
            GOOD_P, GOOD_I, PARAMS, prune_below=0.1, **options
        )
    many = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=200)
    converged = refine(GOOD_P, GOOD_I, many, tolerance=1e-7)
    np.testing.assert_allclose(converged, refine(GOOD_P, GOOD_I, many), atol=1e-2)


def test_an_unlike_pixel_without_messages_to_itself_keeps_its_probabilities():
    image = np.zeros((3, 3, 3), np.uint8)
    image[1, 1] = 255
    params = CRFParams(w2=0, iterations=3)
    probabilities = np.full((3, 3, 2), 0.5, np.float32)
    probabilities[1, 1] = 0.3, 0.7
    refined = refine(probabilities, image, params, self_messages=False)
    np.testing.assert_allclose(refined[1, 1], [0.3, 0.7], atol=1e-5)
    assert refine(probabilities, image, params)[1, 1, 1] > 0.9
