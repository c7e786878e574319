"""The numba engine's lattice against a slow one and against the TensorFlow lattice."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from crf import NORMALIZATIONS, CRFParams
from crf.cpu.lattice import Window, bilateral_lattice, empty_lattice, spatial_lattice
from crf.cpu.workspace import Workspace
from crf.lattice import lattice_filter
from crf.mean_field import _normalized_filter, _pixel_features
from crf.threads import ThreadTeam

PARAMS = CRFParams(sigma_alpha=11.3, sigma_beta=17.1, sigma_gamma=2.3)
SHAPES = [(1, 1), (1, 9), (9, 1), (7, 5)]


def noisy_stripes(height, width, seed=0):
    rng = np.random.default_rng(seed)
    image = 60 * (np.arange(width) * 4 // width)[:, None] + rng.integers(0, 30, (height, width, 3))
    return image.astype(np.uint8)


def build(kind, image, params=PARAMS, threads=2):
    with ThreadTeam(threads) as team:
        if kind == "spatial":
            return spatial_lattice(*image.shape[:2], params, team)
        return bilateral_lattice(image, params, team, Workspace())


def chains_of(lattice):
    """For each axis a list of arrays of vertices."""
    return [
        [members[begin:end] for begin, end in pairwise(starts)]
        for members, starts in lattice.chains
    ]


def run_filter(lattice, values):
    """Splat, blur and slice in float64 from the lattice's arrays."""
    table = np.zeros((lattice.num_vertices, values.shape[1]))
    vertices = np.repeat(np.arange(lattice.num_vertices), np.diff(lattice.starts))
    np.add.at(table, vertices, lattice.point_weights[:, None] * values[lattice.points])
    for chains in chains_of(lattice):
        for chain in chains:
            rows = table[chain]
            table[chain[1:]] += rows[:-1] / 2
            table[chain[:-1]] += rows[1:] / 2
    read = table[lattice.corners] * lattice.weights[:, None]
    return lattice.height * read.reshape(len(values), lattice.num_corners, -1).sum(axis=1)


def reference_filter(kind, image, params):
    """The normalized TensorFlow lattice filter in float64."""
    features = _pixel_features(tf.constant(image), params, tf.float64)[kind == "spatial"]
    ones = tf.ones([len(features), 1], tf.float64)
    return _normalized_filter(lattice_filter(features), ones, params.normalization)


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
@pytest.mark.parametrize(
    ("shape", "normalization"),
    [(shape, "symmetric") for shape in SHAPES] + [((12, 15), name) for name in NORMALIZATIONS],
)
def test_equals_the_tensorflow_lattice(kind, shape, normalization):
    params = CRFParams(
        sigma_alpha=11.3, sigma_beta=17.1, sigma_gamma=2.3, normalization=normalization
    )
    image = noisy_stripes(*shape)
    values = np.random.default_rng(1).random((image.shape[0] * image.shape[1], 3))
    filtered = run_filter(build(kind, image, params), values)
    expected = reference_filter(kind, image, params)(tf.constant(values))
    np.testing.assert_allclose(filtered, expected, rtol=2e-4)


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
@pytest.mark.parametrize("sigma", [0.5, 1, 2, 3, 4, 12])
def test_points_on_the_border_of_two_simplices_match_the_tensorflow_lattice(kind, sigma):
    # With such sigmas every second or third row lies on a border; so does a single color.
    params = CRFParams(sigma_alpha=sigma, sigma_beta=sigma, sigma_gamma=sigma)
    image = np.full((14, 11, 3), 60, np.uint8)
    values = np.random.default_rng(1).random((14 * 11, 3))
    filtered = run_filter(build(kind, image, params), values)
    expected = reference_filter(kind, image, params)(tf.constant(values))
    np.testing.assert_allclose(filtered, expected, rtol=2e-4)


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
@pytest.mark.parametrize("threads", [2, 5, 100])
def test_the_number_of_threads_does_not_change_the_lattice(kind, threads):
    image = noisy_stripes(9, 8)
    one, many = (build(kind, image, PARAMS, number) for number in (1, threads))
    for name in ("corners", "weights", "starts", "points", "point_weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)
    for (members, starts), (others, other_starts) in zip(one.chains, many.chains, strict=True):
        np.testing.assert_array_equal(members, others)
        np.testing.assert_array_equal(starts, other_starts)


def slow_corners(features):
    """Corners (N, d + 1, d + 1) of the simplex around each point and the point itself, float64."""
    d = features.shape[1]
    scale = [np.sqrt(2 / 3) * (d + 1) / np.sqrt((i + 1) * (i + 2)) for i in range(d)]
    points, simplices = [], []
    for f in features * scale:
        y = np.array([f[i:].sum() - (i * f[i - 1] if i else 0) for i in range(d + 1)])
        vertex = (d + 1) * np.floor(y / (d + 1) + 0.5).astype(int)
        excess = vertex.sum() // (d + 1)
        order = np.argsort(vertex - y, kind="stable")
        # The coordinates that were rounded furthest step back.
        vertex[order[d + 1 - excess :] if excess > 0 else []] -= d + 1
        vertex[order[:-excess] if excess < 0 else []] += d + 1
        order = np.argsort(vertex - y, kind="stable")
        corners = [vertex]
        for k in range(1, d + 1):
            corners.append(corners[-1] + 1)
            corners[-1][order[d + 1 - k]] -= d + 1
        points.append(y)
        simplices.append(corners)
    return np.array(points), np.array(simplices)


def vertices_of(kind, image):
    """The lattice without normalization; the slow one's points, corners and vertex positions."""
    params = CRFParams(sigma_alpha=11.3, sigma_beta=17.1, sigma_gamma=2.3, normalization="none")
    features = _pixel_features(tf.constant(image), params, tf.float64)[kind == "spatial"].numpy()
    lattice = build(kind, image, params)
    points, simplices = slow_corners(features)
    places = simplices.reshape(-1, simplices.shape[-1])
    return (
        lattice,
        points,
        simplices,
        dict(zip(lattice.corners.tolist(), map(tuple, places), strict=True)),
    )


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
def test_corners_enclose_their_points_and_are_numbered_once(kind):
    lattice, points, simplices, place_of = vertices_of(kind, noisy_stripes(9, 8))
    shape = simplices.shape[:2]
    corners, weights = lattice.corners.reshape(shape), lattice.weights.reshape(shape)
    for row, simplex in zip(corners, simplices, strict=True):
        assert [place_of[number] for number in row.tolist()] == [tuple(c) for c in simplex]
    assert len(set(place_of.values())) == len(place_of) == lattice.num_vertices
    assert sorted(place_of) == list(range(lattice.num_vertices))
    assert weights.min() > -1e-5
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.einsum("nc,nck->nk", weights, simplices), points, atol=1e-4)


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
def test_every_vertex_lists_its_points(kind):
    lattice, *_ = vertices_of(kind, noisy_stripes(9, 8))
    for vertex in range(lattice.num_vertices):
        entries = slice(*lattice.starts[vertex : vertex + 2])
        mine = np.flatnonzero(lattice.corners == vertex)
        np.testing.assert_array_equal(lattice.points[entries], mine // lattice.num_corners)
        np.testing.assert_array_equal(lattice.point_weights[entries], lattice.weights[mine])


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
def test_chains_hold_all_neighbors_and_each_vertex_at_most_once(kind):
    lattice, _, _, place_of = vertices_of(kind, noisy_stripes(9, 8))
    number_of = {place: number for number, place in place_of.items()}
    for axis, chains in enumerate(chains_of(lattice)):
        members = [vertex for chain in chains for vertex in chain.tolist()]
        assert len(set(members)) == len(members)
        assert min(map(len, chains)) >= 2
        step = -np.ones(lattice.num_corners, int)
        step[axis] += lattice.num_corners
        followers = {
            vertex: number_of.get(tuple(np.array(place) + step))
            for vertex, place in place_of.items()
        }
        expected = {pair for pair in followers.items() if pair[1] is not None}
        assert {pair for chain in chains for pair in pairwise(chain.tolist())} == expected
        assert len(expected) > 10


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
def test_vertices_are_numbered_as_points_first_have_them(kind, threads):
    corners = build(kind, noisy_stripes(9, 8), threads=threads).corners
    _, first = np.unique(corners, return_index=True)
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("kind", ["bilateral", "spatial"])
def test_a_window_of_an_image_has_the_simplices_and_neighbors_of_the_whole(kind):
    params = CRFParams(sigma_alpha=3, sigma_beta=40, sigma_gamma=2, normalization="none")
    image = noisy_stripes(12, 20)
    whole, window = build(kind, image, params), Window(3, 8, 12, 20)
    part = image[3:10, 8:17]
    with ThreadTeam(2) as team:
        if kind == "spatial":
            cut = spatial_lattice(7, 9, params, team, window)
        else:
            cut = bilateral_lattice(part, params, team, Workspace(), window)

    def of_part(array):
        return array.reshape(12, 20, -1)[3:10, 8:17].reshape(-1)

    np.testing.assert_array_equal(cut.weights, of_part(whole.weights))
    number_of = dict(zip(cut.corners.tolist(), of_part(whole.corners).tolist(), strict=True))
    np.testing.assert_array_equal([number_of[c] for c in cut.corners], of_part(whole.corners))
    for chains, whole_chains in zip(chains_of(cut), chains_of(whole), strict=True):
        pairs = {(number_of[a], number_of[b]) for chain in chains for a, b in pairwise(chain)}
        kept = set(number_of.values())
        assert pairs == {
            pair for chain in whole_chains for pair in pairwise(chain.tolist()) if kept >= {*pair}
        }


def test_many_vertices_are_all_found():
    # More than the hash table holds at first, so that it must grow.
    image = np.random.default_rng(0).integers(0, 256, (40, 41, 3)).astype(np.uint8)
    params = CRFParams(sigma_alpha=3, sigma_beta=3)
    lattice = build("bilateral", image, params, threads=1)
    assert lattice.num_vertices > 8000
    values = np.random.default_rng(1).random((40 * 41, 2))
    expected = reference_filter("bilateral", image, params)(tf.constant(values))
    np.testing.assert_allclose(run_filter(lattice, values), expected, rtol=2e-3)


def test_spatial_lattices_are_cached():
    image = noisy_stripes(9, 8)
    first = build("spatial", image)
    assert build("spatial", noisy_stripes(9, 8, seed=1)) is first
    # The bilateral parameters do not matter.
    assert build("spatial", image, CRFParams(w1=9, sigma_beta=9, sigma_gamma=2.3)) is first


@pytest.mark.parametrize(
    "params",
    [
        CRFParams(sigma_gamma=2.3),
        CRFParams(sigma_gamma=1.1),
        CRFParams(sigma_gamma=2.3, normalization="after"),
    ],
)
def test_the_cache_distinguishes_spatial_lattices(params):
    # Twice as many as are kept, so that some are evicted and built again.
    shapes = [(4, 5), (5, 4), (1, 20), (20, 1), (8, 9), (9, 8), (2, 2), (3, 7), (4, 5), (8, 9)]
    for shape in shapes:
        values = np.random.default_rng(1).random((shape[0] * shape[1], 2))
        image = noisy_stripes(*shape)
        filtered = run_filter(build("spatial", image, params), values)
        expected = reference_filter("spatial", image, params)(tf.constant(values))
        np.testing.assert_allclose(filtered, expected, rtol=2e-4)


@pytest.mark.parametrize("d", [2, 5])
def test_an_empty_lattice_filters_everything_to_zero(d):
    filtered = run_filter(empty_lattice(6, d), np.ones((6, 3)))
    np.testing.assert_array_equal(filtered, np.zeros((6, 3)))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("bilateral", CRFParams(sigma_beta=1e-3)),
        ("bilateral", CRFParams(sigma_alpha=1e-9, sigma_beta=1)),
        ("spatial", CRFParams(sigma_gamma=1e-9)),
        ("spatial", CRFParams(sigma_gamma=1e-6)),
        ("spatial", CRFParams(sigma_gamma=1e-30)),
    ],
)
def test_too_small_sigmas_raise(kind, params):
    with pytest.raises(
        ValueError, match="too small for the lattice; choose larger sigmas"
    ) as error:
        build(kind, noisy_stripes(9, 8), params)
    assert "\n" not in str(error.value)


def test_a_very_small_sigma_beta_still_works():
    image = np.random.default_rng(0).integers(0, 256, (6, 2000, 3)).astype(np.uint8)
    lattice = build("bilateral", image, CRFParams(sigma_alpha=67, sigma_beta=0.5))
    values = np.random.default_rng(1).random((12000, 1))
    # Points so far apart in color share almost no vertices.
    errors = np.abs(run_filter(lattice, values) - values)
    assert (errors > 1e-3).mean() < 0.01
