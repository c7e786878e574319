import numpy as np
import pytest
from absl import flags

from crf import CRFParams
from crf.search import Trial
from deeplab_tf.evaluation import search_report
from deeplab_tf.evaluation.search_report import params_flagfile, search_picture, trial_table


def trial(score, round=0, **params):
    return Trial(CRFParams(**params), score, round)


TRIALS = [
    trial(0.50, w1=3, sigma_alpha=30, sigma_beta=3),
    trial(0.52, w1=3, sigma_alpha=30, sigma_beta=5),
    trial(0.51, w1=4, sigma_alpha=30, sigma_beta=3),
    trial(0.60, w1=4, sigma_alpha=50, sigma_beta=5),
    trial(0.55, w1=4, sigma_alpha=47.5, sigma_beta=5, round=1),
]


def test_table_of_the_best_points():
    lines = trial_table(TRIALS, before=0.53, rows=2).splitlines()
    assert lines[0].split() == [
        *("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma"),
        *("round", "mean", "IoU", "change"),
    ]
    assert lines[2].split() == ["4", "50", "5", "3", "3", "0", "0.6000", "+0.0700"]
    assert lines[3].split() == ["4", "47.5", "5", "3", "3", "1", "0.5500", "+0.0200"]
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert len(trial_table(TRIALS, 0.5).splitlines()) == 2 + len(TRIALS)


def test_flagfile_gives_the_parameters_back(tmp_path):
    params = CRFParams(
        w1=0.1 + 0.2, sigma_alpha=50, sigma_beta=3.25, iterations=7, normalization="after"
    )
    path = tmp_path / "best.flags"
    path.write_text(params_flagfile(params, ["found by", "  python x --crf_w1=9"]))
    values = flags.FlagValues()
    flags.DEFINE_bool("crf", False, "", flag_values=values)
    for name in ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma"):
        flags.DEFINE_float(f"crf_{name}", 1.0, "", flag_values=values)
    flags.DEFINE_integer("crf_iterations", 1, "", flag_values=values)
    flags.DEFINE_string("crf_normalization", "", "", flag_values=values)
    values(["tool", f"--flagfile={path}"])
    given = values.flag_values_dict()
    assert given.pop("crf") is True
    assert CRFParams(**{name.removeprefix("crf_"): given[name] for name in given}) == params
    lines = path.read_text().splitlines()
    assert lines[:3] == ["# found by", "#   python x --crf_w1=9", "--crf"]
    assert "--crf_sigma_alpha=50" in lines


def cell(picture, block_top, row, column):
    """The colors of a cell's inner border, clear of text and frame."""
    (left, top), _ = search_report._corners(row, column)
    return picture[block_top + top + 4, left + 4]


def test_picture_has_a_block_for_each_w1_and_a_cell_for_each_point():
    picture = search_picture(TRIALS)
    width, height = search_report._CELL
    margin = search_report._MARGIN
    # w1 = 3: one sigma_alpha, two sigma_beta; w1 = 4: three and two.
    block = 4 * height + 2 * margin
    assert picture.shape == (2 * block, search_report._TITLE_CELLS * width + 2 * margin, 3)
    assert picture.dtype == np.uint8
    low = cell(picture, 0, 2, 1)
    best = cell(picture, block, 3, 3)
    np.testing.assert_array_equal(low, [68, 1, 84])  # the ends of viridis
    np.testing.assert_array_equal(best, [253, 231, 37])
    np.testing.assert_array_equal(cell(picture, block, 2, 2), search_report._GRAY)  # not tried
    np.testing.assert_array_equal(cell(picture, 0, 2, 3), search_report._WHITE)  # no such cell
    (left, top), _ = search_report._corners(3, 3)
    np.testing.assert_array_equal(picture[block + top, left + width // 2], search_report._BLACK)
    (left, top), _ = search_report._corners(2, 1)
    assert (picture[block + top, left + width // 2] != search_report._BLACK).any()


@pytest.mark.parametrize(
    "trials",
    [TRIALS[:1], [trial(0.5, w1=1), trial(0.5, w1=2)], [trial(0.1, w2=1), trial(0.2, w2=2)]],
)
def test_pictures_of_single_and_equal_scores(trials):
    picture = search_picture(trials)
    block = 3 * search_report._CELL[1] + 2 * search_report._MARGIN
    assert picture.shape[0] == len(trials) * block
    last = cell(picture, (len(trials) - 1) * block, 2, 1)
    np.testing.assert_array_equal(last, [253, 231, 37])
