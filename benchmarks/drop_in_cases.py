"""Cases that run on pydensecrf and on crf.pydensecrf with the same code; needs only NumPy.

A case is a dictionary of arrays, as `np.savez` stores it: the unary energies, what the kernels are
made of, and the list of calls that make them. benchmarks/crf_drop_in.py and the tests of
crf/pydensecrf use it.
"""

import json
import time

import numpy as np

# The place of a kind is part of its seed: new ones come last.
KINDS = (
    *("rgb", "vector", "matrix", "channels", "volume", "points", "usual"),
    *("odd", "video", "signal", "unnormalized"),
)
NORMALIZATIONS = ("NORMALIZE_SYMMETRIC", "NORMALIZE_AFTER", "NORMALIZE_BEFORE", "NO_NORMALIZATION")
KERNELS = ("DIAG_KERNEL", "CONST_KERNEL", "FULL_KERNEL")
# Sums over all neighbors without normalization are large, so those weights are divided by this.
_SUM_SCALE = 20


def random_case(kind, seed, size=12, labels=None):
    """A case of small random data.

    Args:
      kind: "rgb" (an image, with a number as compatibility), "vector" or "matrix" (an image with
        such a compatibility), "channels" (an image of any number of channels with float values),
        "volume" (a 3-D grid), "points" (random features without a grid), "usual" (the DeepLab
        papers' kernels, for which this package has a faster engine), "odd" (the same on an image
        whose number of pixels is no multiple of four), "video" (a 3-D grid with three channels),
        "signal" (a 1-D grid), or "unnormalized" (an image with a vector or a matrix as
        compatibility, and kernels without normalization).
      seed: of everything random.
      size: roughly the side of a square with as many points.
      labels: number of labels C; None is 2 to 5.

    Returns:
      Dictionary of arrays with the keys "unary" float32 (C, N), "shape", "calls" (JSON), and those
      that the calls name.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    labels = labels or int(rng.integers(2, 6))
    shape = _shape(rng, kind, seed, size)
    if kind in ("usual", "odd"):
        case, calls = _usual(rng, shape)
    elif kind == "points":
        case, calls = _points(rng, shape)
    elif len(shape) == 2 and kind != "channels":
        case, calls = _image(rng, kind, labels, shape)
    else:
        channels = {"volume": 1, "video": 3, "signal": 2}.get(kind)
        channels = channels or int(rng.choice([1, 2, 4, 5]))
        case, calls = _features(rng, shape, channels)
    case["unary"] = _unary(rng, labels, shape)
    case["shape"], case["calls"] = np.array(shape), np.array(json.dumps(calls))
    return case


def _shape(rng, kind, seed, size):
    """The shape of the grid of a case; (N,) for points."""
    if kind in ("points", "signal"):
        return (size**2 + int(rng.integers(4)),)
    if kind == "volume":
        side = max(3, round(size ** (2 / 3)))
        return side, side + 1, side + int(rng.integers(3))
    if kind == "video":
        side = max(3, size // 2)
        return 4, side, side + int(rng.integers(3))
    if kind == "odd":
        side = size // 4 * 4 + 1
        return side, side + seed % 3  # divided by 4, 1 to 3 pixels remain
    height, width = size + int(rng.integers(3)), size + int(rng.integers(4))
    return height, width // 4 * 4 if kind == "usual" else width


def _image(rng, kind, labels, shape):
    """Arrays and calls of a spatial and a bilateral kernel on an RGB image, x and y unlike."""
    case = {"image": (255 * _scene(rng, shape, 3)).astype(np.uint8)}
    costs = str(rng.choice(["vector", "matrix"])) if kind == "unnormalized" else kind
    if costs == "vector":
        case["costs"] = -rng.uniform(0, 4, labels).astype(np.float32)
    elif costs == "matrix":
        case["costs"] = rng.uniform(-1, 3, (labels, labels)).astype(np.float32)
    compat = _weight(rng) if kind == "rgb" else "costs"
    gaussian = {"sxy": rng.uniform(0.7, 3, 2).round(2).tolist(), "compat": compat}
    bilateral = {
        "sxy": rng.uniform(2, 20, 2).round(2).tolist(),
        "srgb": rng.uniform(5, 40, 3).round(2).tolist(),
        "rgbim": "image",
        "compat": compat,
    }
    calls = [("addPairwiseGaussian", gaussian), ("addPairwiseBilateral", bilateral)]
    calls = [_call(rng, name, **arguments) for name, arguments in calls]
    if kind == "unnormalized":
        case["costs"] /= _SUM_SCALE
        calls = [(name, {**each, "normalization": NORMALIZATIONS[3]}) for name, each in calls]
    return case, calls


def _usual(rng, shape):
    """Arrays and calls of a spatial and a bilateral kernel, x and y alike."""
    case = {"image": (255 * _scene(rng, shape, 3)).astype(np.uint8)}
    shared = {"normalization": str(rng.choice(NORMALIZATIONS[:3]))}
    gaussian = {"sxy": round(float(rng.uniform(0.7, 3)), 2), "compat": _weight(rng)}
    bilateral = {
        "sxy": round(float(rng.uniform(2, 20)), 2),
        "srgb": round(float(rng.uniform(5, 40)), 2),
        "rgbim": "image",
        "compat": _weight(rng),
    }
    calls = [("addPairwiseGaussian", gaussian), ("addPairwiseBilateral", bilateral)]
    rng.shuffle(calls)
    return case, [(name, arguments | shared) for name, arguments in calls]


def _points(rng, shape):
    """Arrays and calls of a kernel over random features."""
    features = rng.normal(0, 1.5, (int(rng.integers(1, 8)), *shape))
    case = {"features": features.astype(np.float32)}
    return case, [_call(rng, "addPairwiseEnergy", features="features", compat=_weight(rng))]


def _features(rng, shape, channels):
    """Arrays and calls of the features of a grid of any rank with float values."""
    case = {"image": _scene(rng, shape, channels)}
    gaussian = {"sdims": rng.uniform(0.7, 3, len(shape)).round(2).tolist(), "shape": shape}
    bilateral = {
        "sdims": rng.uniform(2, 20, len(shape)).round(2).tolist(),
        "schan": rng.uniform(0.03, 0.3, channels).round(3).tolist(),
        "img": "image",
        "chdim": len(shape),
    }
    made = [{"create_pairwise_gaussian": gaussian}, {"create_pairwise_bilateral": bilateral}]
    calls = [
        _call(rng, "addPairwiseEnergy", features=features, compat=_weight(rng)) for features in made
    ]
    return case, calls


def _scene(rng, shape, channels):
    """float32 (*shape, channels) from 0 to 1: boxes of different values, and noise."""
    scene = np.full((*shape, channels), 0.4)
    for _ in range(4):
        corners = [np.sort(rng.integers(0, side + 1, 2)) for side in shape]
        box = tuple(slice(low, high) for low, high in corners)
        scene[box] = rng.uniform(0.1, 0.9, channels)
    return np.clip(scene + rng.normal(0, 0.04, scene.shape), 0, 1).astype(np.float32)


def _unary(rng, labels, shape):
    scores = rng.normal(0, 1.5, (labels, int(np.prod(shape))))
    return (scores - scores.min(axis=0)).astype(np.float32)


def _weight(rng):
    return round(float(rng.uniform(0.5, 5)), 2)


def _call(rng, name, **arguments):
    scalable = not isinstance(arguments["compat"], str)
    normalization = str(rng.choice(NORMALIZATIONS if scalable else NORMALIZATIONS[:3]))
    if normalization == "NO_NORMALIZATION":
        arguments["compat"] /= _SUM_SCALE
    return name, {**arguments, "normalization": normalization, "kernel": str(rng.choice(KERNELS))}


def resolve_calls(case, densecrf, utils):
    """The calls of a case with arrays and constants in place of their names.

    Args:
      case: as `random_case` or `np.load` gives it.
      densecrf, utils: the modules of pydensecrf, or of crf.pydensecrf.

    Returns:
      List of (name of a method, its arguments).
    """
    calls = json.loads(str(case["calls"]))
    return [(name, _resolved(arguments, case, densecrf, utils)) for name, arguments in calls]


def _resolved(arguments, case, densecrf, utils):
    resolved = {}
    for key, value in arguments.items():
        if isinstance(value, str):
            value = case[value] if value in case else getattr(densecrf, value)
        elif isinstance(value, dict):
            ((function, inputs),) = value.items()
            value = getattr(utils, function)(**_resolved(inputs, case, densecrf, utils))
            # pydensecrf refuses the order that its own function returns for a 1-D grid.
            value = np.ascontiguousarray(value)
        resolved[key] = value
    return resolved


def build_model(case, densecrf, calls):
    """The model of a case, ready for inference.

    Args:
      case: as `random_case` or `np.load` gives it.
      densecrf: the module of pydensecrf, or of crf.pydensecrf.
      calls: as `resolve_calls` gives them.

    Returns:
      `DenseCRF2D` if the grid is an image, else `DenseCRF`.
    """
    unary, shape = case["unary"], [int(side) for side in case["shape"]]
    if len(shape) == 2:
        model = densecrf.DenseCRF2D(shape[1], shape[0], len(unary))
    else:
        model = densecrf.DenseCRF(unary.shape[1], len(unary))
    model.setUnaryEnergy(unary)
    for name, arguments in calls:
        getattr(model, name)(**arguments)
    return model


def infer(case, densecrf, utils, iterations):
    """What a case gives after some iterations.

    Args:
      case: as `random_case` or `np.load` gives it.
      densecrf, utils: the modules of pydensecrf, or of crf.pydensecrf.
      iterations: number of mean field iterations.

    Returns:
      Dictionary of "inference" and "stepped", marginals float32 (C, N) computed at once and one
      by one, and "divergence", the KL divergence before and after the iterations.
    """
    model = build_model(case, densecrf, resolve_calls(case, densecrf, utils))
    marginals, first, second = model.startInference()
    divergence = [model.klDivergence(marginals)]
    for _ in range(iterations):
        model.stepInference(marginals, first, second)
    return {
        "inference": np.array(model.inference(iterations)),
        "stepped": np.array(marginals),
        "divergence": np.array([*divergence, model.klDivergence(marginals)]),
    }


def measure(case, densecrf, utils, iterations):
    """Time of a case from given features to the marginals, with the construction of the lattices.

    Args:
      case: as `random_case` or `np.load` gives it.
      densecrf, utils: the modules of pydensecrf, or of crf.pydensecrf.
      iterations: number of mean field iterations.

    Returns:
      Seconds, and seconds of processor time in all threads.
    """
    calls = resolve_calls(case, densecrf, utils)
    start, processor = time.perf_counter(), time.process_time()
    build_model(case, densecrf, calls).inference(iterations)
    return time.perf_counter() - start, time.process_time() - processor
