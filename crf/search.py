"""Coarse-to-fine search for the CRF's parameters, with any score function.

DeepLab v2, section 4.3: w2 and sigma_gamma are fixed; the other three parameters are tried on a
coarse grid, and then with finer steps around the best point.
"""

import itertools
import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from crf.params import CRFParams


@dataclass(frozen=True)
class SearchGrid:
    """The values of each parameter for the coarse round, which tries every combination.

    The defaults are those of DeepLab v2 (section 4.3); `GRIDS["v1"]` has those of v1. A parameter
    with a single value is fixed, also in the finer rounds.

    Args:
      w1, sigma_alpha, sigma_beta, w2, sigma_gamma: sequences of values for the parameter of
        this name in `CRFParams`; kept in ascending order.

    Raises:
      ValueError: if a parameter has no value, a duplicate, or a value out of range.

    Example:
      >>> SearchGrid(w1=(4,), sigma_alpha=(40, 80), sigma_beta=(3, 5, 7))
    """

    w1: tuple = (3, 4, 5, 6)
    sigma_alpha: tuple = (30, 40, 50, 60, 70, 80, 90, 100)
    sigma_beta: tuple = (3, 4, 5, 6)
    w2: tuple = (3,)
    sigma_gamma: tuple = (3,)

    def __post_init__(self):
        for name in self.names():
            values = [
                getattr(CRFParams(**{name: value}), name) for value in tuple(getattr(self, name))
            ]
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"SearchGrid: {name} has values {values}; give one or more, without duplicates"
                )
            object.__setattr__(self, name, tuple(sorted(values)))

    @classmethod
    def names(cls):
        """Names of the parameters that a grid has values for."""
        return tuple(field.name for field in fields(cls))

    def points(self, params=None):
        """Every point of the grid; the last parameter changes fastest.

        Args:
          params: `CRFParams` for the parameters not in the grid; None uses the defaults.

        Returns:
          List of `CRFParams`.
        """
        return _product(self, params or CRFParams(), [getattr(self, n) for n in self.names()])

    def points_around(self, center, fraction):
        """A point and its neighbors in all directions, 3 values for each searched parameter.

        Args:
          center: `CRFParams`.
          fraction: the step, as a fraction of the smallest gap between two values of the grid.

        Returns:
          List of `CRFParams`, including `center`; values out of a parameter's range are left
          out.
        """
        return _product(
            self, center, [self._around(name, center, fraction) for name in self.names()]
        )

    def thinned(self):
        """The grid of every second value, for a search that is to try fewer points.

        The finer rounds can still find the values between. A parameter of one or two values keeps
        them.
        """
        axes = {name: getattr(self, name) for name in self.names()}
        return SearchGrid(
            **{name: axis if len(axis) < 3 else axis[::2] for name, axis in axes.items()}
        )

    def ends_met(self, params):
        """Names of the searched parameters at an end of the grid or beyond it.

        If there are any, a wider grid may have a better point.
        """
        axes = {name: getattr(self, name) for name in self.names()}
        return [
            name
            for name, axis in axes.items()
            if len(axis) > 1 and not axis[0] < getattr(params, name) < axis[-1]
        ]

    def _around(self, name, center, fraction):
        axis, middle = getattr(self, name), getattr(center, name)
        if len(axis) == 1:
            return [middle]
        step = fraction * min(after - before for before, after in itertools.pairwise(axis))
        values = [middle - step, middle, middle + step]
        # Weights may be 0, standard deviations may not.
        return [value for value in values if value > 0 or (value == 0 and name in ("w1", "w2"))]


GRIDS = {
    "v1": SearchGrid(
        w1=tuple(range(5, 11)),
        sigma_alpha=tuple(range(50, 101, 10)),
        sigma_beta=tuple(range(3, 11)),
    ),
    "v2": SearchGrid(),
}
"""The papers' grids by name."""


class Trial(NamedTuple):
    """One point of a search.

    Args:
      params: the point, `CRFParams`.
      score: its score; higher is better.
      round: 0 for the coarse grid, 1 and up for the finer rounds.
    """

    params: CRFParams
    score: float
    round: int


def coarse_to_fine(score, grid=None, params=None, rounds=2, known=None):
    """Try a coarse grid, then finer steps around the best point; no point is scored twice.

    Round 0 tries the whole grid. Round r = 1, 2, ... tries the neighbors of the best point so far
    in all directions, 2⁻ʳ grid steps away: at most 26 new points if three parameters are
    searched. Of equal scores, the one tried first counts as best, so that the search is
    reproducible.

    Args:
      score: function from a list of `CRFParams` to their scores in the same order, as a list
        or a generator; higher is better. Called once per round, with new points only.
      grid: `SearchGrid`; None uses that of DeepLab v2.
      params: `CRFParams` for the parameters not in the grid; None uses the defaults.
      rounds: number of finer rounds, at least 0.
      known: dict from `CRFParams` to scores that are already known, for example from an
        interrupted run; these points are not scored again.

    Returns:
      List of `Trial` in the order in which the points were tried.

    Raises:
      ValueError: if `score` returns NaN or the wrong number of scores, or `rounds` is negative.

    Example:
      >>> trials = coarse_to_fine(lambda points: [-abs(p.w1 - 4.2) for p in points])
      >>> best_trial(trials).params.w1
      4.25
    """
    if rounds < 0:
        raise ValueError(f"coarse_to_fine: rounds is {rounds}; give a number of at least 0")
    grid, known, trials = grid or SearchGrid(), known or {}, {}
    points = grid.points(params)
    for number in range(rounds + 1):
        new = [point for point in points if point not in trials]
        scores = known | _scores(score, [point for point in new if point not in known])
        trials.update({point: Trial(point, scores[point], number) for point in new})
        points = grid.points_around(best_trial(trials.values()).params, 0.5 ** (number + 1))
    return list(trials.values())


def best_trial(trials):
    """The trial with the highest score; of equal ones, the first.

    Args:
      trials: list of `Trial`, at least one.

    Returns:
      `Trial`.
    """
    return max(trials, key=lambda trial: trial.score)


def rank_trials(trials):
    """The trials from best to worst; equals stay in the order they were tried in.

    Args:
      trials: list of `Trial`.

    Returns:
      list of `Trial`.
    """
    return sorted(trials, key=lambda trial: -trial.score)


def _product(grid, params, axes):
    """`CRFParams` for all combinations of values; axes holds one list for each grid parameter."""
    return [
        replace(params, **dict(zip(grid.names(), values, strict=True)))
        for values in itertools.product(*axes)
    ]


def _scores(score, points):
    """{point: float score}; ValueError for NaN or a wrong number of scores."""
    found = {}
    for point, value in zip(points, score(points) if points else (), strict=True):
        if math.isnan(value):
            raise ValueError(f"coarse_to_fine: the score of {point} is NaN; fix the score function")
        found[point] = float(value)
    return found
