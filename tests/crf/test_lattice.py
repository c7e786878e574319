import numpy as np
import pytest
import tensorflow as tf

from crf.exact import ExactFilter
from crf.lattice import _label_groups, lattice_filter


def slow_lattice_filter(features, values):
    """The same lattice filter with dictionaries and loops, in float64, one point at a time."""
    d = features.shape[1]
    scale = [np.sqrt(2 / 3) * (d + 1) / np.sqrt((i + 1) * (i + 2)) for i in range(d)]
    points = []
    for f in features.astype(np.float64) * scale:
        y = np.array([f[i:].sum() - (i * f[i - 1] if i else 0) for i in range(d + 1)])
        vertex = (d + 1) * np.round(y / (d + 1))
        excess = int(vertex.sum()) // (d + 1)
        order = sorted(range(d + 1), key=lambda i: vertex[i] - y[i])
        for i in order[len(order) - excess :] if excess > 0 else []:
            vertex[i] -= d + 1
        for i in order[: -excess if excess < 0 else 0]:
            vertex[i] += d + 1
        order = sorted(range(d + 1), key=lambda i: vertex[i] - y[i])
        corner, corners = vertex.astype(int), []
        top = [(y - vertex)[i] / (d + 1) for i in order]
        for k in range(d + 1):
            weight = 1 + top[-1] - top[0] if k == 0 else top[d - k] - top[d + 1 - k]
            corners.append((tuple(corner), weight))
            corner = corner + 1
            corner[order[d - k]] -= d + 1
        points.append(corners)
    table = {corner: np.zeros(values.shape[1]) for corners in points for corner, _ in corners}
    for corners, value in zip(points, values, strict=True):
        for corner, weight in corners:
            table[corner] = table[corner] + weight * value
    for axis in range(d + 1):
        step = -np.ones(d + 1, int)
        step[axis] = d
        table = {
            corner: value + sum(table.get(tuple(corner + s * step), 0) for s in (1, -1)) / 2
            for corner, value in table.items()
        }
    return np.array(
        [sum(weight * table[corner] for corner, weight in corners) for corners in points]
    ) / (1 + 2.0**-d)


@pytest.mark.parametrize(("d", "expected"), [(1, 5 / 6), (2, 0.9)])
def test_single_point_at_the_origin_by_hand(d, expected):
    # d = 1: of vertices (0, 0) and (1, -1) the first gets 1. The two blurs give 1, 1/2 and then
    # 1 + 1/4, 1; the slice reads 5/4, over 1 + 1/2.
    # d = 2: (0, 0, 0) gives 1/2 to (2, -1, -1), that 1/4 to (1, 1, -2), that 1/8 back to the
    # first; the slice reads 9/8, over 1 + 1/4.
    filtered = lattice_filter(tf.zeros([1, d]))(tf.ones([1, 1]))
    np.testing.assert_allclose(filtered, [[expected]], rtol=1e-6)


def test_distant_points_do_not_interact():
    features = tf.constant([[0.0, 0.0], [40.0, -30.0]])
    filtered = lattice_filter(features)(tf.constant([[1.0, 0.0], [0.0, 1.0]])).numpy()
    assert filtered[0, 1] == filtered[1, 0] == 0
    assert (np.diag(filtered) > 0.5).all()


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", [0.1, 1.0, 20.0])
def test_equals_the_slow_lattice(d, spread):
    rng = np.random.default_rng(d)
    features = rng.normal(scale=spread, size=(150, d)).astype(np.float32)
    values = rng.random((150, 3)).astype(np.float32)
    filtered = lattice_filter(tf.constant(features))(tf.constant(values))
    np.testing.assert_allclose(
        filtered, slow_lattice_filter(features, values), rtol=1e-4, atol=2e-4
    )


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.usefixtures("tf_seed")
def test_splat_weights_of_a_point_sum_to_one(d):
    features = tf.random.normal([200, d], stddev=5.0)
    splat = tf.sparse.to_dense(tf.sparse.reorder(lattice_filter(features).splat)).numpy()
    assert splat.min() > -1e-5 and splat.max() < 1 + 1e-5
    np.testing.assert_array_equal((splat != 0).sum(axis=0), np.full(200, d + 1))
    np.testing.assert_allclose(splat.sum(axis=0), np.ones(200), atol=1e-5)


@pytest.mark.usefixtures("tf_seed")
def test_neighbors_are_mutual():
    for halves in lattice_filter(tf.random.normal([200, 3])).neighbors:
        matrix = tf.sparse.to_dense(tf.sparse.reorder(halves)).numpy()
        np.testing.assert_array_equal(matrix, matrix.T)
        assert set(np.unique(matrix)) == {0, 0.5} and np.count_nonzero(matrix) > 20
        assert np.count_nonzero(matrix, axis=1).max() == 2 and not np.diag(matrix).any()


@pytest.mark.parametrize(
    ("labels", "axes", "bounds"),
    [
        (1, 6, [0, 1]),
        (11, 6, [0, 11]),
        (21, 6, [0, 8, 21]),
        (21, 3, [0, 21]),
        (60, 6, [0, 16, 32, 48, 60]),
        (60, 3, [0, 16, 40, 60]),
    ],
)
def test_label_groups_by_hand(labels, axes, bounds):
    assert _label_groups(labels, axes) == bounds


@pytest.mark.parametrize("axes", [3, 6])
def test_label_groups_stay_below_the_slow_size(axes):
    for labels in range(1, 300):
        bounds = _label_groups(labels, axes)
        sizes = np.diff(bounds)
        assert bounds[0] == 0 and bounds[-1] == labels and sizes.min() > 0 and sizes.max() < 32


@pytest.mark.parametrize("axes", [3, 6])
@pytest.mark.parametrize("labels", [0, 1, 8, 9, 40, 59, 60])
def test_label_groups_of_a_number_that_only_the_graph_knows(labels, axes):
    bounds = [int(bound) for bound in _label_groups(tf.constant(labels), axes, 60)]
    # Those of the number alone, then empty ones.
    alone = _label_groups(labels, axes) if labels else [0]
    assert bounds == alone + [labels] * (len(_label_groups(60, axes)) - len(alone))


@pytest.mark.usefixtures("tf_seed")
def test_a_graph_filters_any_number_of_labels_up_to_the_bound():
    features = tf.random.normal([50, 2], dtype=tf.float64)
    run = lattice_filter(features, most_labels=50)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float64)])
    def filtered(values):
        return lattice_filter(features, most_labels=50)(values)

    for labels in (0, 3, 50):
        values = tf.random.uniform([50, labels], dtype=tf.float64)
        np.testing.assert_allclose(filtered(values), run(values), rtol=1e-12)


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("labels", [1, 2, 17, 21, 40])
@pytest.mark.usefixtures("tf_seed")
def test_label_groups_do_not_change_the_result(labels, d):
    run = lattice_filter(tf.random.normal([50, d], dtype=tf.float64))
    values = tf.random.uniform([50, labels], dtype=tf.float64)
    one_by_one = tf.concat([run(values[:, i : i + 1]) for i in range(labels)], axis=1)
    np.testing.assert_allclose(run(values), one_by_one, rtol=1e-12)


def test_approximates_the_gaussian():
    y, x = np.mgrid[:30, :30]
    features = tf.constant(np.stack([x, y], axis=-1).reshape(-1, 2) / 3, tf.float32)
    values = tf.constant(np.random.default_rng(0).random((900, 2)), tf.float32)
    lattice, exact = (
        make(features)(tf.concat([values, tf.ones([900, 1])], axis=1)).numpy()
        for make in (lattice_filter, ExactFilter)
    )
    means, wanted = lattice[:, :2] / lattice[:, 2:], exact[:, :2] / exact[:, 2:]
    assert np.abs(means - wanted).mean() < 0.1 * wanted.std(axis=0).mean()


@pytest.mark.usefixtures("tf_seed")
def test_order_of_the_points_does_not_matter():
    features, values = tf.random.normal([100, 5]), tf.random.uniform([100, 2])
    order = tf.random.shuffle(tf.range(100))
    shuffled = lattice_filter(tf.gather(features, order))(tf.gather(values, order))
    np.testing.assert_allclose(
        shuffled, tf.gather(lattice_filter(features)(values), order), atol=1e-5
    )


@pytest.mark.usefixtures("tf_seed")
def test_works_in_a_graph_of_unknown_size():
    signature = [tf.TensorSpec([None, 5]), tf.TensorSpec([None, None])]
    run = tf.function(lambda f, v: lattice_filter(f)(v), input_signature=signature)
    for n in (1, 50):
        features, values = tf.random.normal([n, 5]), tf.random.uniform([n, 4])
        np.testing.assert_allclose(
            run(features, values), lattice_filter(features)(values), atol=1e-5
        )


@pytest.mark.usefixtures("tf_seed")
def test_gradient_is_the_transposed_filter():
    run = lattice_filter(tf.random.normal([40, 2], stddev=2.0))
    matrix = run(tf.eye(40)).numpy()
    assert np.abs(matrix - matrix.T).max() > 1e-4  # otherwise nothing is tested
    values, upstream = tf.random.uniform([40, 3]), tf.random.normal([40, 3])
    with tf.GradientTape() as tape:
        tape.watch(values)
        filtered = run(values)
    gradient = tape.gradient(filtered, values, output_gradients=upstream)
    np.testing.assert_allclose(gradient, matrix.T @ upstream.numpy(), atol=1e-4)


def test_too_small_sigmas_raise():
    features = tf.constant(np.vstack([np.zeros(5), np.full(5, 1e5)]), tf.float32)
    with pytest.raises(
        ValueError, match="sigmas are too small for the lattice; choose larger sigmas"
    ) as error:
        lattice_filter(features)
    assert "\n" not in str(error.value)
    with pytest.raises(tf.errors.InvalidArgumentError, match="choose larger sigmas"):
        tf.function(lambda f: lattice_filter(f).splat)(features)


def test_a_single_coordinate_too_large_raises():
    # In two dimensions the keys would fit 63 bits, but float32 could not separate the vertices.
    for reach, fits in ((1e6, True), (3e6, False), (1e8, False), (1e30, False)):
        features = tf.constant([[0.0, 0.0], [reach, 0.0]])
        if fits:
            filtered = lattice_filter(features)(tf.eye(2)).numpy()
            assert filtered[0, 1] == filtered[1, 0] == 0 and (np.diag(filtered) > 0.5).all()
        else:
            with pytest.raises(ValueError, match="too small for the lattice"):
                lattice_filter(features)
            with pytest.raises(tf.errors.InvalidArgumentError, match="too small for the lattice"):
                tf.function(lambda f: lattice_filter(f).splat)(features)


def test_vertices_stay_separate_near_the_limit_of_the_keys():
    # Corners of a wide box: 32 points, so far apart that none may read another's value.
    corners = np.stack(np.meshgrid(*[[0, 600]] * 5), axis=-1).reshape(-1, 5)
    filtered = lattice_filter(tf.constant(corners, tf.float32))(tf.eye(32)).numpy()
    assert np.count_nonzero(filtered - np.diag(np.diag(filtered))) == 0
