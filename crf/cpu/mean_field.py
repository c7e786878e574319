"""Mean field inference compiled by numba: the updates of `crf.mean_field`, in few passes.

Values of one point, or of one vertex, lie beside each other. An iteration is a splat by
vertices, a blur along each axis in place, and one pass over the points that slices both kernels
and normalizes.
"""

from typing import NamedTuple

import numpy as np

from crf.cpu import kernels
from crf.cpu.lanes import LANES
from crf.cpu.lattice import absent_lattice, bilateral_lattice, spatial_lattice
from crf.cpu.workspace import borrowed_workspace
from crf.mean_field import MIN_PROBABILITY
from crf.memory import check_memory
from crf.threads import Crew

# Corners, weights and lists of both lattices, and what building them takes besides where an image
# is all noise.
BYTES_PER_POINT = 600

# Parts of a pass for each thread: enough to even out what other programs take.
PARTS = 4

# Elements of a table that stays in a processor's own cache.
SMALL_TABLE = 2**20


def infer(probabilities, image, params, refined, num_threads=None, prune_below=0.0):
    """Run the CRF on one image.

    Args:
      probabilities: (H, W, C) float32 array.
      image: (H, W, 3) uint8 array, RGB.
      params: `CRFParams`.
      refined: (H, W, C) float32 array that receives the result, which sums to one over C.
      num_threads: number of threads; None takes all processors.
      prune_below: labels whose probability is below this at every pixel exchange no messages.

    Raises:
      ValueError: where the features spread too far for the lattice, or memory is short.
    """
    given, out, num_classes = read_only(probabilities), refined.reshape(-1), refined.shape[2]
    with Crew(num_threads) as crew, borrowed_workspace() as memory:
        picked = _pick_labels(given, num_classes, prune_below, crew)
        if len(picked) == num_classes:
            beliefs = Beliefs(given, _floor(num_classes), num_classes, num_classes, out)
            _iterate(beliefs, image, params, crew, memory)
        else:
            _iterate_picked(picked, given, out, image, params, crew, memory)


def read_only(array):
    """The array, flat and read-only: numba compiles anew for arrays that can be written."""
    flat = np.ascontiguousarray(array).reshape(-1)
    flat.flags.writeable = False
    return flat


class Beliefs(NamedTuple):
    """What is given and believed about each of N points.

    Args:
      prior: float32 (N labels,), the probabilities given.
      floor: float32 (width,), the least they count as; 0 in surplus lanes.
      labels: how many there are.
      speakers: how many of them exchange messages, from the first on.
      marginals: float32 (N labels,), the current Q.
    """

    prior: np.ndarray
    floor: np.ndarray
    labels: int
    speakers: int
    marginals: np.ndarray

    def given(self):
        """What the kernels that set the marginals take."""
        return self.prior, self.floor, self.labels, self.marginals


def _floor(labels):
    """The least that probabilities count as, for each lane of a row."""
    floor = np.zeros(-(-labels // LANES) * LANES, np.float32)
    floor[:labels] = MIN_PROBABILITY
    return floor


def _pick_labels(given, num_classes, prune_below, crew):
    """The labels that exchange messages, in order."""
    if not prune_below:
        return np.arange(num_classes)
    tops = crew.run(kernels.highest, crew.shares(len(given) // num_classes), given, num_classes)
    return np.flatnonzero(np.max(tops, axis=0) >= prune_below)


def _iterate_picked(picked, given, out, image, params, crew, memory):
    """Run mean field on the picked labels; all others are one more, which stays silent."""
    num_points, labels = image.shape[0] * image.shape[1], len(picked) + 1
    num_classes, pixels = len(given) // num_points, crew.shares(num_points)
    floor = _floor(num_classes)
    others = np.ones_like(floor)
    others[picked] = 0
    source = given, num_classes, picked, floor
    prior = memory.array("prior", num_points * labels, np.float32)
    marginals = memory.array("marginals", num_points * labels, np.float32)
    crew.run(kernels.pick, pixels, *source, others, prior)
    beliefs = Beliefs(read_only(prior), _floor(labels), labels, len(picked), marginals)
    _iterate(beliefs, image, params, crew, memory)
    crew.run(kernels.put_back, pixels, *source, prior, marginals, out)


def _iterate(beliefs, image, params, crew, memory):
    """Run mean field on the beliefs."""
    num_points = image.shape[0] * image.shape[1]
    crew.run(kernels.begin, crew.shares(num_points), *beliefs.given())
    if not params.iterations or not beliefs.speakers:
        return
    plan = _plan(image, beliefs, params, crew, memory)
    for _ in range(params.iterations):
        for kernel, calls in plan:
            crew.run_each(kernel, calls)


def _plan(image, beliefs, params, crew, memory):
    """The steps of one iteration: (kernel, its calls, which may run at once), in order."""
    num_points = image.shape[0] * image.shape[1]
    check_memory(BYTES_PER_POINT * num_points, "the lattices of an image")
    near, far = _lattices(image, params, crew, memory)
    width = len(beliefs.floor)
    size = (near.num_vertices + far.num_vertices) * width
    check_memory(4 * size, "the lattices' vertices")
    table = memory.array("table", size, np.float32)
    # The far lattice first: the larger part of the work, which the near one's fills up.
    tables = (far, table[near.num_vertices * width :]), (near, table)
    slices = _slices(near, far, params, crew, memory)
    mixing = _mixing_rows(params.compatibility, width)
    pixels = crew.parts(crew.shares(num_points, PARTS))
    update = [(*part, *slices, table, mixing, *beliefs.given()) for part in pixels]
    return [
        (kernels.splat, _splat_calls(tables, beliefs, width, crew)),
        *_blur_steps(tables, width, crew),
        (kernels.update, update),
    ]


def _splat_calls(tables, beliefs, width, crew):
    """The calls that fill the tables of both lattices, [(lattice, table)]."""
    senders = beliefs.marginals, beliefs.labels, beliefs.speakers
    return [
        (*part, lattice.starts, lattice.points, lattice.point_weights, *senders, width, rows)
        for lattice, rows in tables
        for part in crew.parts(crew.balanced(lattice.starts, PARTS))
    ]


def _blur_steps(tables, width, crew):
    """The steps that blur the tables of both lattices.

    A large table is blurred along one axis after the other, by all threads. A small one is left
    to a single thread: to wake the others for each axis would take longer.
    """
    steps = [[] for _ in tables[0][0].chains]
    for lattice, rows in tables:
        if lattice.num_vertices * width < SMALL_TABLE:
            steps[0].append((lattice.chains, width, rows))
            continue
        for step, chains in zip(steps, lattice.chains, strict=False):
            for part in crew.parts(crew.balanced(chains[1], PARTS)):
                step.append(([chains], width, rows, *part))
    return [(_blur, calls) for calls in steps if calls]


def _blur(axes, width, rows, low=0, high=None):
    """Blur along axes, one after the other: chains low to high, or all."""
    for members, starts in axes:
        kernels.blur(low, len(starts) - 1 if high is None else high, members, starts, width, rows)


def _lattices(image, params, crew, memory):
    """The lattices of the smoothness kernel (near) and of the appearance kernel (far)."""
    height, width = image.shape[:2]
    near, far = absent_lattice(height * width, 2), absent_lattice(height * width, 5)
    if params.w2:
        near = spatial_lattice(height, width, params, crew)
    if params.w1:
        far = bilateral_lattice(image, params, crew, memory)
    return near, far


def _slices(near, far, params, crew, memory):
    """Corners and weights of the points in both lattices, beside each other."""
    num_points = len(near.corners) // kernels.NEAR_CORNERS
    corners = memory.array("all corners", num_points * kernels.CORNERS, np.int32)
    weights = memory.array("all weights", num_points * kernels.CORNERS, np.float32)
    crew.run(
        kernels.interleave,
        crew.shares(num_points),
        (near.corners, near.weights),
        np.float32(params.w2 * near.height),
        (far.corners, far.weights),
        np.float32(params.w1 * far.height),
        near.num_vertices,
        corners,
        weights,
    )
    return corners, weights


def _mixing_rows(compatibility, width):
    """float32 (C width,): row k holds what label k adds to all labels' logits; None for Potts."""
    if compatibility is None:
        return None
    costs = np.asarray(compatibility, np.float32)
    rows = np.zeros((len(costs), width), np.float32)
    rows[:, : len(costs)] = -costs.T
    return rows.reshape(-1)
