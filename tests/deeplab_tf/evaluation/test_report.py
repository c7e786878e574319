import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.boundary import BoundaryScores, TrimapScores
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.report import (
    boundary_table,
    comparison_panel,
    photograph_panel,
    photograph_row,
    score_dict,
    score_table,
    trimap_table,
)
from deeplab_tf.labels import LabelSet

LABELS = LabelSet(("sky", "road", "absent"), ((10, 20, 230), (120, 60, 120), (0, 90, 0)))


@pytest.fixture
def confusions():
    truth = np.uint8([0, 0, 1, 1])
    before, after = ConfusionMatrix(3), ConfusionMatrix(3)
    before.add(truth, np.uint8([0, 1, 1, 1]))
    after.add(truth, truth)
    return before, after


def test_table_before_and_after(confusions):
    assert score_table(LABELS, *confusions).splitlines() == [
        "class                   before CRF   after CRF      change",
        "----------------------------------------------------------",
        "sky                         0.5000      1.0000     +0.5000",
        "road                        0.6667      1.0000     +0.3333",
        "absent                           -           -           -",
        "----------------------------------------------------------",
        "mean IoU                    0.5833      1.0000     +0.4167",
        "pixel accuracy              0.7500      1.0000     +0.2500",
        "mean accuracy               0.7500      1.0000     +0.2500",
        "frequency weighted IoU      0.5833      1.0000     +0.4167",
    ]


def test_table_without_crf(confusions):
    lines = score_table(LABELS, confusions[0]).splitlines()
    assert lines[0] == "class                          IoU"
    assert lines[3] == "road                        0.6667"
    assert lines[6] == "mean IoU                    0.5833"
    assert len(lines) == 10


def test_dict_before_and_after(confusions):
    scores = score_dict(LABELS, *confusions)
    after = scores.pop("crf")
    assert set(scores) == set(after)
    assert scores["per_class_iou"]["road"] == pytest.approx(2 / 3)
    assert after["per_class_iou"] == {"sky": 1.0, "road": 1.0, "absent": None}
    assert "crf" not in score_dict(LABELS, confusions[0])


def near_borders(scores):
    """Scores of a border that is predicted a pixel too far to the right, and of the right one."""
    truth = np.uint8([[0, 0, 0, 0, 1, 1, 1]] * 5)
    before, after = scores(3), scores(3)
    before.add(truth, np.uint8([[0, 0, 0, 0, 0, 1, 1]] * 5))
    after.add(truth, truth)
    return before, after


def test_table_of_boundary_scores():
    before, after = near_borders(BoundaryScores)
    assert boundary_table(LABELS, before, after).splitlines() == [
        "class             boundary IoU             boundary F1",
        "        before CRF   after CRF  before CRF   after CRF",
        "------------------------------------------------------",
        "sky         0.5789      1.0000      1.0000      1.0000",
        "road        0.4667      1.0000      1.0000      1.0000",
        "absent           -           -           -           -",
        "mean        0.5228      1.0000      1.0000      1.0000",
    ]
    assert boundary_table(LABELS, before).splitlines()[::2] == [
        "class     boundary IoU     boundary F1",
        "sky             0.5789          1.0000",
        "absent               -               -",
    ]


def test_table_of_trimaps():
    before, after = near_borders(TrimapScores)
    lines = trimap_table(before, after).splitlines()
    assert lines[:5] == [
        "from a border                  mean IoU          pixel accuracy",
        "                 before CRF   after CRF  before CRF   after CRF",
        "---------------------------------------------------------------",
        "up to 1 pixel        0.2500      1.0000      0.5000      1.0000",
        "up to 2 pixels       0.5833      1.0000      0.7500      1.0000",
    ]
    assert len(lines) == 10
    lines = trimap_table(before).splitlines()
    assert lines[0] == "from a border          mean IoU  pixel accuracy"
    assert lines[2] == "up to 1 pixel            0.2500          0.5000"


@pytest.mark.parametrize("results", [1, 2])
def test_panel_shows_image_truth_and_results(results):
    image = np.full((20, 90, 3), 77, np.uint8)
    labels = [np.full((20, 90), index, np.uint8) for index in range(1 + results)]
    picture = comparison_panel(LABELS, [(image, *labels), (image, *labels)])
    row = picture[22 + 6 + 3]
    centers = [row[6 + 96 * column + 45].tolist() for column in range(2 + results)]
    assert centers == [[77, 77, 77], *map(list, LABELS.colors[: 1 + results])]
    assert picture.shape[1] == 6 + 96 * (2 + results)


@pytest.mark.parametrize("count", [1, 2])
def test_panel_of_photographs(count):
    """Image and tinted images, each reduced to 480 pixels; only classes that occur are named."""
    image = np.full((30, 960, 3), 100, np.uint8)
    labels = [np.full((30, 960), value, np.uint8) for value in (1, 0)[:count]]
    row, classes = photograph_row(image, labels, LABELS, alpha=0.5)
    assert [picture.shape for picture in row] == [(15, 480, 3)] * (1 + count)
    assert classes == {0, 1} if count == 2 else {1}
    tints = [picture[7, 240].tolist() for picture in row]
    assert tints == [[100, 100, 100], [110, 80, 110], [55, 60, 165]][: 1 + count]
    picture = photograph_panel(LABELS, [(row, classes)])
    shown = {tuple(color) for color in picture[-24:].reshape(-1, 3).tolist()}
    assert (LABELS.colors[2] in shown) == (count == 1)  # for one class, all are named
    assert LABELS.colors[1] in shown


def test_panel_needs_samples_of_equal_length():
    image, label = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    for samples in ([], [(image, label, label), (image, label, label, label)]):
        with pytest.raises(InputError, match="panel"):
            comparison_panel(LABELS, samples)
