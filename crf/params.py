"""Parameters of the fully connected CRF."""

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from crf.checks import check_count

NORMALIZATIONS = ("none", "before", "after", "symmetric")
"""The values of `CRFParams.normalization` and `Kernel.normalization`."""

MIN_PROBABILITY = 1e-5
"""Smaller probabilities are clamped to this value, which bounds the unary energy."""

SIGMAS_TOO_SMALL = (
    "crf: the sigmas are too small for the lattice; choose larger sigmas "
    "(sigma_alpha and sigma_gamma are in pixels, sigma_beta in levels of 0 to 255)"
)
"""Error of both lattice engines if there are too many vertices to number."""


@dataclass(frozen=True)
class CRFParams:
    """Parameters of the pairwise term, with the names of the DeepLab papers.

    The pairwise term is the label compatibility times (DeepLab v2, equation 3)

          w1 exp(-|p_i - p_j|² / 2 sigma_alpha² - |I_i - I_j|² / 2 sigma_beta²)
        + w2 exp(-|p_i - p_j|² / 2 sigma_gamma²)

    with positions p in pixels and colors I in 8-bit intensity levels.

    Args:
      w1: weight of the bilateral (appearance) kernel, at least 0.
      sigma_alpha: its standard deviation over positions, in pixels, above 0.
      sigma_beta: its standard deviation over colors, in intensity levels, above 0. Gray levels g
        apart are, as colors of three equal channels, sqrt(3) g apart.
      w2: weight of the spatial (smoothness) kernel, at least 0.
      sigma_gamma: its standard deviation in pixels, above 0.
      iterations: number of mean field iterations, at least 0.
      normalization: how a kernel is divided by its row sums: "after" the filter, "before" it,
        "symmetric" (the square root of the row sums on both sides), or "none".
      compatibility: C rows of C numbers; entry [l][k] is the cost of label l next to label k.
        None is the papers' Potts model for any number of labels: 0 for equal labels, 1 for
        different ones.

    Raises:
      ValueError: naming the parameter that is out of range.

    Example:
      >>> CRFParams(w1=4, sigma_alpha=49, sigma_beta=5, w2=3, sigma_gamma=3)
      >>> CRFParams(compatibility=((0, 1.5), (0.5, 0)))  # two labels
    """

    w1: float = 4
    sigma_alpha: float = 67
    sigma_beta: float = 3
    w2: float = 3
    sigma_gamma: float = 3
    iterations: int = 10
    normalization: str = "symmetric"
    compatibility: tuple | None = None

    def __post_init__(self):
        for name in ("w1", "w2"):
            self._set(name, _number(name, self, "of at least 0", lambda value: value >= 0))
        for name in ("sigma_alpha", "sigma_beta", "sigma_gamma"):
            self._set(name, _number(name, self, "above 0", lambda value: value > 0))
        self._set("iterations", check_count(self.iterations, "CRFParams: iterations", 0))
        if self.normalization not in NORMALIZATIONS:
            raise ValueError(
                f"CRFParams: unknown normalization {self.normalization!r}; available: "
                + ", ".join(NORMALIZATIONS)
            )
        if self.compatibility is not None:
            self._set("compatibility", _compatibility_rows(self.compatibility))

    def save(self, path):
        """Write all parameters as JSON.

        Args:
          path: the file to write; its folder is created if missing. An interrupted save leaves
            an existing file unchanged.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path):
        """Read the parameters that `save` wrote.

        Args:
          path: a JSON file with every parameter by its name, and nothing else.

        Returns:
          `CRFParams`.

        Raises:
          ValueError: one line that names the file and what is wrong with it.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"CRFParams: cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # the latter for lists within lists
            raise ValueError(f"CRFParams: {path} is not a JSON file: {error}") from error
        _check_names(values, {field.name for field in fields(cls)}, path)
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{error} (in {path})") from error

    def _set(self, name, value):
        # The dataclass is frozen. Values become plain Python numbers, so that JSON can hold them.
        object.__setattr__(self, name, value)


def _number(name, params, wanted, holds):
    """The parameter as a float; ValueError unless it is finite and `holds(value)` is True."""
    given = getattr(params, name)
    try:
        value = _plain_float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise ValueError(f"CRFParams: {name} must be a finite number {wanted}, not {given!r}")
    return value


def _plain_float(given):
    if isinstance(given, (bool, str)):
        raise TypeError(given)
    return float(given)


def _compatibility_rows(given):
    """The compatibility as a tuple of tuples of Python floats."""
    try:
        rows = tuple(tuple(_plain_float(value) for value in row) for row in given)
    except (TypeError, ValueError):
        rows = ()
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ValueError(
            f"CRFParams: compatibility must be C rows of C numbers, not {_shortened(given)}"
        )
    for label, row in enumerate(rows):
        if not all(map(math.isfinite, row)):
            raise ValueError(
                f"CRFParams: compatibility must be finite, but row {label} is {_shortened(row)}"
            )
    return rows


def _shortened(value, length=80):
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[:length] + "..."


def _check_names(values, wanted, path):
    """Raise ValueError if parameters are missing from a file, or unknown ones are in it."""
    if not isinstance(values, dict):
        raise ValueError(
            f"CRFParams: {path} must hold one JSON object, as written by CRFParams.save"
        )
    for problem, names in (
        ("lacks", wanted - values.keys()),
        ("holds unknown", values.keys() - wanted),
    ):
        if names:
            raise ValueError(f"CRFParams: {path} {problem} parameters: {', '.join(sorted(names))}")
