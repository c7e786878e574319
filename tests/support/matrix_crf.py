"""Mean field inference with explicit N x N matrices, as slow and plain as the formulas."""

import numpy as np
from reference_lattice import lattice_filter


def gaussian_matrix(features, normalization="none", precision=None):
    """(N, N) float64 kernel of features (N, d), divided by its row sums as named."""
    features = np.asarray(features, np.float64)
    precision = np.eye(features.shape[1]) if precision is None else np.asarray(precision)
    precision = np.diag(precision) if precision.ndim == 1 else precision
    differences = features[:, None] - features[None]
    return _normalized(
        np.exp(-np.einsum("ija,ab,ijb->ij", differences, precision, differences) / 2),
        normalization,
    )


def lattice_matrix(features, normalization="none", filling=0):
    """(N, N) float64: what the plain lattice makes of the kernel of float32 features (N, d).

    Args:
      features, normalization: as for `gaussian_matrix`.
      filling: number of points with features of 0 that are part of the lattice, but have no values.
    """
    size, d = features.shape
    run = lattice_filter(np.concatenate([features, np.zeros((filling, d), np.float32)]))
    return _normalized(run(np.eye(size + filling)[:, :size])[:size], normalization)


def _normalized(matrix, normalization):
    sums = matrix.sum(axis=1)
    before = {"before": sums, "symmetric": np.sqrt(sums)}.get(normalization, np.ones_like(sums))
    after = {"after": sums, "symmetric": np.sqrt(sums)}.get(normalization, np.ones_like(sums))
    return matrix / after[:, None] / before[None]


def costs_of(compatibility, num_labels):
    """(C, C) costs of label l (row) next to label m (column)."""
    if np.ndim(compatibility) == 2:
        return np.asarray(compatibility, np.float64)
    return -np.diag(np.broadcast_to(compatibility, num_labels)).astype(np.float64)


def softmax(scores):
    """Softmax over the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def message_costs(marginals, terms):
    """(N, C): what all terms, pairs of matrix (N, N) and costs (C, C), cost each label."""
    return sum((matrix @ marginals @ costs.T for matrix, costs in terms), np.zeros_like(marginals))


def mean_field(unary, terms, iterations, damping=0.0):
    """Marginals (N, C) after the updates."""
    unary = np.asarray(unary, np.float64)
    marginals = softmax(-unary)
    for _ in range(iterations):
        new = softmax(-unary - message_costs(marginals, terms))
        marginals = damping * marginals + (1 - damping) * new
    return marginals


def free_energy(marginals, unary, terms):
    """The free energy, where each pair of points counts once."""
    entropy = -(marginals * np.log(np.maximum(marginals, 1e-38))).sum()
    pairs = (marginals * message_costs(marginals, terms)).sum() / 2
    return (marginals * unary).sum() + pairs - entropy
