from dataclasses import replace

import numpy as np
import pytest

from crf import CRFParams
from crf.search import (
    GRIDS,
    SearchGrid,
    Trial,
    best_trial,
    coarse_to_fine,
    rank_trials,
)

SMALL = SearchGrid(w1=(4,), sigma_alpha=(30, 40, 50), sigma_beta=(3, 5))


def bowl(**center):
    """Scores that fall with the squared distance from a center."""

    def score(points):
        return [
            -sum((getattr(point, name) - value) ** 2 for name, value in center.items())
            for point in points
        ]

    return score


def values(points, *names):
    return [tuple(getattr(point, name) for name in names) for point in points]


def test_points_of_the_grid_in_order():
    points = SMALL.points(CRFParams(iterations=5, normalization="after"))
    found = values(points, "sigma_alpha", "sigma_beta")
    assert found == [(30, 3), (30, 5), (40, 3), (40, 5), (50, 3), (50, 5)]
    assert set(values(points, "w1", "w2", "sigma_gamma")) == {(4, 3, 3)}
    assert set(values(points, "iterations", "normalization")) == {(5, "after")}


def test_grids_of_the_papers():
    v1, v2 = (GRIDS[name].points() for name in ("v1", "v2"))
    assert (len(v1), len(v2)) == (6 * 6 * 8, 4 * 8 * 4)
    assert set(values(v2, "w2", "sigma_gamma")) == {(3, 3)}
    assert values([v2[0], v2[-1]], "w1", "sigma_alpha", "sigma_beta") == [(3, 30, 3), (6, 100, 6)]
    assert values([v1[0], v1[-1]], "w1", "sigma_alpha", "sigma_beta") == [(5, 50, 3), (10, 100, 10)]
    assert SearchGrid() == GRIDS["v2"]


def test_a_thinned_grid_has_every_second_value():
    thinned = GRIDS["v2"].thinned()
    assert thinned == SearchGrid(w1=(3, 5), sigma_alpha=(30, 50, 70, 90), sigma_beta=(3, 5))
    # Fewer than three values stay, so that no searched parameter becomes a fixed one.
    assert SMALL.thinned() == SearchGrid(w1=(4,), sigma_alpha=(30, 50), sigma_beta=(3, 5))


def test_a_grid_sorts_its_values_and_compares_by_them():
    assert SearchGrid(w1=[6, 4.5]) == SearchGrid(w1=(4.5, 6))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"w1": ()}, "w1 has values \\[\\]"),
        ({"sigma_beta": (3, 4, 3.0)}, "sigma_beta has values .* without duplicates"),
        ({"sigma_alpha": (0,)}, "sigma_alpha must be a finite number above 0"),
        ({"w2": (1, "x")}, "w2 must be a finite number"),
    ],
)
def test_bad_grids_raise(axes, message):
    with pytest.raises(ValueError, match=message):
        SearchGrid(**axes)


def test_points_around_are_half_steps_in_all_directions():
    center = CRFParams(w1=4, sigma_alpha=40, sigma_beta=5, iterations=7)
    points = SMALL.points_around(center, 0.5)
    found = values(points, "sigma_alpha", "sigma_beta")
    assert found == [(a, b) for a in (35, 40, 45) for b in (4, 5, 6)]
    assert set(values(points, "w1", "iterations")) == {(4, 7)}


def test_the_step_is_a_fraction_of_the_smallest_gap():
    grid = SearchGrid(w1=(4,), sigma_alpha=(10, 80, 84), sigma_beta=(3,))
    points = grid.points_around(CRFParams(sigma_alpha=80), 0.5)
    assert values(points, "sigma_alpha") == [(78,), (80,), (82,)]


def test_values_out_of_range_are_left_out():
    grid = SearchGrid(w1=(1, 3), sigma_alpha=(10, 30), sigma_beta=(5,))
    points = grid.points_around(CRFParams(w1=1, sigma_alpha=10), 0.5)
    # A weight may be 0, a standard deviation may not.
    assert values(points, "w1", "sigma_alpha") == [(w, a) for w in (0, 1, 2) for a in (10, 20)]


def test_finer_rounds_approach_the_best_point():
    target = {"w1": 4.3, "sigma_alpha": 63, "sigma_beta": 3.6}
    trials = coarse_to_fine(bowl(**target), rounds=4)
    best = best_trial(trials).params
    for name, step in {"w1": 1 / 16, "sigma_alpha": 10 / 16, "sigma_beta": 1 / 16}.items():
        assert abs(getattr(best, name) - target[name]) <= step, name
    assert {trial.round for trial in trials} == {0, 1, 2, 3, 4}
    assert [trial.round for trial in trials] == sorted(trial.round for trial in trials)
    for number in range(1, 5):
        assert 0 < sum(trial.round == number for trial in trials) <= 26


def test_a_parameter_with_one_value_is_fixed():
    trials = coarse_to_fine(bowl(w1=9, sigma_alpha=44), SMALL)
    assert {trial.params.w1 for trial in trials} == {4}
    assert best_trial(trials).params.sigma_alpha == 45  # 40 + 5; half a step further is worse


def test_no_point_is_scored_twice():
    asked = []

    def score(points):
        asked.append(list(points))
        return bowl(w1=5, sigma_alpha=60, sigma_beta=4)(points)

    trials = coarse_to_fine(score, rounds=3)
    flat = [point for points in asked for point in points]
    assert len(flat) == len(set(flat)) == len(trials)
    # While the best point stays the same, every half step around it is new.
    assert [len(points) for points in asked] == [128, 26, 26, 26]


def test_known_points_are_not_scored_again():
    full = coarse_to_fine(bowl(sigma_alpha=44, sigma_beta=4.2), SMALL)
    known = {trial.params: trial.score for trial in full[:9]}
    asked = []

    def score(points):
        asked.extend(points)
        return bowl(sigma_alpha=44, sigma_beta=4.2)(points)

    assert coarse_to_fine(score, SMALL, known=known) == full
    assert asked == [trial.params for trial in full[9:]]
    known = {trial.params: trial.score for trial in full}
    assert coarse_to_fine(pytest.fail, SMALL, known=known) == full


def test_scores_may_come_from_a_generator():
    def score(points):
        yield from bowl(sigma_alpha=44)(points)

    assert coarse_to_fine(score, SMALL) == coarse_to_fine(bowl(sigma_alpha=44), SMALL)


def test_among_equal_scores_the_first_is_best():
    trials = coarse_to_fine(lambda points: [0.5] * len(points), SMALL, rounds=1)
    assert best_trial(trials) is trials[0]
    assert rank_trials(trials) == trials
    # The finer round was also around the first point.
    around = {trial.params.sigma_alpha for trial in trials if trial.round == 1}
    assert around == {25, 30, 35}


def test_ranking():
    trials = [Trial(CRFParams(w1=w1), score, 0) for w1, score in ((1, 0.2), (2, 0.7), (3, 0.2))]
    assert [trial.params.w1 for trial in rank_trials(trials)] == [2, 1, 3]


def test_numpy_scores_become_python_floats():
    trials = coarse_to_fine(lambda points: np.float32([0.5] * len(points)), SMALL, rounds=0)
    assert {type(trial.score) for trial in trials} == {float}


def test_other_parameters_stay_as_given():
    params = CRFParams(iterations=3, normalization="none", compatibility=((0, 2), (1, 0)))
    trials = coarse_to_fine(bowl(sigma_alpha=33), SMALL, params)
    expected = replace(params, w1=4, w2=3, sigma_gamma=3)
    for trial in trials:
        point = trial.params
        assert point == replace(
            expected, sigma_alpha=point.sigma_alpha, sigma_beta=point.sigma_beta
        )


def test_ends_met_names_parameters_at_an_end_of_the_grid():
    assert SMALL.ends_met(CRFParams(w1=4, sigma_alpha=40, sigma_beta=4)) == []
    assert SMALL.ends_met(CRFParams(w1=4, sigma_alpha=30, sigma_beta=5.5)) == [
        "sigma_alpha",
        "sigma_beta",
    ]


@pytest.mark.parametrize(
    ("score", "rounds", "message"),
    [
        (lambda points: [float("nan")] * len(points), 1, "the score of CRFParams.* is NaN"),
        (lambda points: [1.0], 1, "shorter"),
        (lambda points: [1.0] * 1000, 1, "longer"),
        (bowl(w1=4), -1, "rounds is -1"),
    ],
)
def test_bad_scores_and_rounds(score, rounds, message):
    with pytest.raises(ValueError, match=message):
        coarse_to_fine(score, SMALL, rounds=rounds)
