"""Both engines put every point into the simplex that the authors' order of operations gives."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from reference_lattice import find_simplices, pixel_features, refine

from crf import NORMALIZATIONS, CRFParams, dense_crf
from crf.cpu.lattice import bilateral_lattice, spatial_lattice
from crf.cpu.workspace import Workspace
from crf.elevation import elevation_scales, scaled_values
from crf.lattice import lattice_filter
from crf.mean_field import _pixel_features
from crf.threads import ThreadTeam
from deeplab_tf.data.image_files import load_image

# The published files' values.
PUBLISHED = [
    CRFParams(w1=4, sigma_alpha=49, sigma_beta=5, w2=3, sigma_gamma=3),
    CRFParams(w1=5, sigma_alpha=21, sigma_beta=3, w2=4, sigma_gamma=1),
    CRFParams(w1=4, sigma_alpha=67, sigma_beta=3, w2=3, sigma_gamma=1),
    CRFParams(w1=5, sigma_alpha=50, sigma_beta=10, w2=3, sigma_gamma=3),
    CRFParams(w1=3, sigma_alpha=95, sigma_beta=3, w2=3, sigma_gamma=3),
]


def test_scales_by_hand():
    # sqrt(2/3) * 3 / sqrt(2) = sqrt(3), and sqrt(2/3) * 3 / sqrt(6) = 1. The factor sqrt(2/3) * 3
    # is rounded to float32 first, which makes the last bit of sqrt(3) another one.
    scales = elevation_scales(2)
    assert scales.dtype == np.float32 and scales[1] == 1
    assert scales[0] == np.nextafter(np.float32(3**0.5), np.float32(2))


def test_values_are_divided_before_they_are_scaled():
    values = scaled_values(4, 3, np.float32(0.7))
    assert values.dtype == np.float32
    wanted = [np.float32(i) / np.float32(3) * np.float32(0.7) for i in range(4)]
    np.testing.assert_array_equal(values, wanted)


def numba_lattices(image, params):
    """(corners, weights), both (N, d + 1), of the bilateral and the spatial lattice."""
    params = replace(params, normalization="none")  # which would be folded into the weights
    with ThreadTeam(2) as team:
        lattices = (
            bilateral_lattice(image, params, team, Workspace()),
            spatial_lattice(*image.shape[:2], params, team),
        )
    return [
        (part.corners.reshape(-1, part.num_corners), part.weights.reshape(-1, part.num_corners))
        for part in lattices
    ]


def tensorflow_lattices(image, params):
    """The same of the TensorFlow engine."""
    found = []
    for features in _pixel_features(image, params):
        splat = lattice_filter(features).splat
        shape = [features.shape[1] + 1, -1]
        arrays = tf.reshape(splat.indices[:, 0], shape), tf.reshape(splat.values, shape)
        found.append(tuple(map(tf.transpose, arrays)))
    return found


def in_a_graph(params):
    signature = [tf.TensorSpec([None, None, 3], tf.uint8)]
    return tf.function(lambda image: tensorflow_lattices(image, params), input_signature=signature)


def assert_same_simplices(lattices, image, params):
    """Check that the numbers of the corners stand for the reference's corners, one for one."""
    for (corners, weights), features in zip(lattices, pixel_features(image, params), strict=True):
        wanted = find_simplices(features)
        # A number for each place that two places have by chance only.
        factors = np.random.default_rng(0).integers(-(2**62), 2**62, wanted.corners.shape[-1])
        places = (wanted.corners * factors).sum(axis=-1).reshape(-1)
        numbers = np.asarray(corners, np.int64).reshape(-1)
        pairs = len(np.unique(places * 2**20 + numbers))
        assert pairs == len(np.unique(numbers)) == len(np.unique(places))
        np.testing.assert_allclose(weights, wanted.weights, atol=1e-5)


def noise(height, width, levels, seed):
    return np.random.default_rng(seed).integers(0, levels, (height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def crops(voc_pairs, camvid, msrc21):
    """The middle, (40, 48, 3) uint8, of four images of each data set."""
    found = []
    for folder in (voc_pairs, camvid, msrc21):
        paths = sorted((folder / "JPEGImages").glob("*.jpg"))
        for path in paths[:: len(paths) // 4][:4]:
            image = load_image(path)
            top, left = (image.shape[0] - 40) // 2, (image.shape[1] - 48) // 2
            found.append(image[top : top + 40, left : left + 48].copy())
    return found


@pytest.mark.parametrize("params", PUBLISHED)
def test_photographs_have_the_reference_simplices(crops, params):
    for image in crops:
        assert_same_simplices(numba_lattices(image, params), image, params)


def test_photographs_have_them_in_graphs(crops):
    # Graph optimization may replace divisions by other operations.
    params = PUBLISHED[2]
    run = in_a_graph(params)
    for image in crops:
        assert_same_simplices(run(image), image, params)


@pytest.mark.parametrize("sigma", [1, 7.3])
def test_points_between_two_simplices_have_the_reference_ones(sigma):
    # In the first column, many points lie on a border; in noise, many are close to one.
    params = CRFParams(sigma_alpha=sigma, sigma_beta=sigma, sigma_gamma=sigma)
    run = in_a_graph(params)
    for levels in (1, 4, 256):
        image = noise(24, 32, levels, seed=levels)
        for lattices in (numba_lattices, tensorflow_lattices):
            assert_same_simplices(lattices(image, params), image, params)
        assert_same_simplices(run(image), image, params)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_crf_agrees_with_the_reference_at_every_pixel(normalization):
    image, factor = noise(24, 32, 40, seed=0), 0.02 if normalization == "none" else 1
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), image.shape[:2])
    probabilities = probabilities.astype(np.float32)
    for number, params in enumerate(PUBLISHED):
        w1, w2 = factor * params.w1, factor * params.w2
        params = replace(params, w1=w1, w2=w2, normalization=normalization)
        expected = refine(probabilities, image, params)
        for engine in ("numba", "lattice") if number == 0 else ("numba",):
            found = dense_crf(probabilities[None], image[None], params, engine)[0]
            assert np.abs(found - expected).max() < 1e-4
