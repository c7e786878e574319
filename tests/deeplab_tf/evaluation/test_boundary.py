import numpy as np
import pytest
from scipy import ndimage

from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.voc import read_split
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.boundary import (
    BoundaryScores,
    TrimapScores,
    border_pixels,
    count_near,
    trimap_distances,
)
from deeplab_tf.labels import VOID

# A straight border between the columns 3 and 4, predicted one column too far to the right.
TRUTH = np.uint8([[0, 0, 0, 0, 1, 1, 1]] * 5)
SHIFTED = np.uint8([[0, 0, 0, 0, 0, 1, 1]] * 5)

# The lower three rows are right.
CUT = np.uint8([[0, 0, 0, 0, 0, 0, 0]] * 2 + [[0, 0, 0, 0, 1, 1, 1]] * 3)


def test_border_pixels_have_another_label_beside_or_diagonally():
    labels = np.zeros((5, 7), np.uint8)
    labels[2, 3] = 4
    expected = np.zeros((5, 7), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(border_pixels(labels), expected)
    assert not border_pixels(np.full((5, 7), 3, np.uint8)).any()  # the image's own border is none


def test_distances_are_squares_around_another_class():
    labels = np.zeros((5, 7), np.uint8)
    labels[2, 3] = 4
    expected = [
        [3, 2, 2, 2, 2, 2, 3],
        [3, 2, 1, 1, 1, 2, 3],
        [3, 2, 1, 1, 1, 2, 3],
        [3, 2, 1, 1, 1, 2, 3],
        [3, 2, 2, 2, 2, 2, 3],
    ]
    np.testing.assert_array_equal(trimap_distances(labels), expected)


@pytest.mark.parametrize(
    ("border", "expected"), [("any", [2, 1, 1, 2, 1, 1]), ("void", [5, 4, 3, 2, 1, 1])]
)
def test_distances_to_void_or_to_any_other_label(border, expected):
    labels = np.uint8([[0, 0, 1, 1, 1, VOID, 1]] * 5)
    for row in trimap_distances(labels, border):
        assert row[[0, 1, 2, 3, 4, 6]].tolist() == expected


@pytest.mark.parametrize("border", ["any", "void"])
def test_without_a_border_no_pixel_is_near_one(border):
    trimap = TrimapScores(2, border)
    trimap.add(np.zeros((5, 7), np.uint8), SHIFTED)
    assert not trimap.counts.any()
    found = trimap.to_dict()
    assert found["miou"] == found["pixel_accuracy"] == [None] * 40
    assert found["pixels"] == [0] * 40


def test_trimap_by_hand():
    trimap = TrimapScores(2)
    trimap.add(TRUTH, SHIFTED)
    found = trimap.to_dict()
    assert found["border"] == "any"
    assert found["widths"] == list(range(1, 41))
    # Width 1: columns 3 and 4; width 2: columns 2 to 5; from width 4 on all of them.
    assert found["pixels"] == [10, 20, 30] + [35] * 37
    accuracies = [5 / 10, 15 / 20, 25 / 30] + [30 / 35] * 37
    assert found["pixel_accuracy"] == pytest.approx(accuracies)
    ious = [(5 / 10, 0 / 5), (10 / 15, 5 / 10), (15 / 20, 10 / 15)] + [(20 / 25, 10 / 15)] * 37
    assert found["miou"] == pytest.approx([sum(pair) / 2 for pair in ious])
    np.testing.assert_array_equal(trimap.confusion(2).matrix, [[10, 0], [5, 5]])


def test_trimap_leaves_void_out():
    truth = TRUTH.copy()
    truth[:, 4] = VOID
    trimap = TrimapScores(2, "void")
    trimap.add(truth, SHIFTED)
    found = trimap.to_dict()
    assert found["pixels"] == [10, 20, 25] + [30] * 37  # columns 3, 5; then 2, 6; 1; 0
    assert found["pixel_accuracy"] == [1.0] * 40


def test_boundary_iou_by_hand():
    """The diagonal is 8.6 pixels, so the bands are one pixel wide."""
    boundary = BoundaryScores(2)
    boundary.add(TRUTH, SHIFTED)
    # Class 0: 14 pixels in the true band, 16 in the predicted one, 11 in both: rows 0 and 4 of the
    # columns 0 to 3, and column 0. Class 1: 12, 10 and 7.
    expected = [11 / (14 + 16 - 11), 7 / (12 + 10 - 7)]
    np.testing.assert_allclose(boundary.per_class_iou, expected)
    assert boundary.miou == pytest.approx(sum(expected) / 2)


def test_boundary_f1_by_hand():
    """The tolerance is one pixel."""
    boundary = BoundaryScores(2)
    boundary.add(TRUTH, CUT)
    # Class 0: of the predicted border pixels, column 3 of the rows 1 to 4 and columns 4 to 6 of
    # row 1, all but (1, 5) and (1, 6) are near column 3. All true ones have a predicted one.
    zero = 2 * (5 / 7) * 1 / (5 / 7 + 1)
    # Class 1: predicted are row 2 from column 4 on, and (3, 4) and (4, 4): all but (2, 6) are near
    # column 4, of which all but (0, 4) are near a predicted one.
    np.testing.assert_allclose(boundary.per_class_f1, [zero, 4 / 5])
    assert boundary.mean_f1 == pytest.approx((zero + 4 / 5) / 2)


def test_one_column_is_within_the_tolerance():
    boundary = BoundaryScores(2)
    boundary.add(TRUTH, SHIFTED)
    assert boundary.mean_f1 == 1


def test_a_class_that_is_missed_or_invented_scores_zero():
    for truth, prediction in ((TRUTH, TRUTH * 0), (TRUTH * 0, TRUTH)):
        boundary = BoundaryScores(3)
        boundary.add(truth, prediction)
        assert boundary.per_class_iou[1] == boundary.per_class_f1[1] == 0
        assert np.isnan(boundary.per_class_iou[2]) and np.isnan(boundary.per_class_f1[2])


def test_what_is_right_outside_void_scores_one():
    rng = np.random.default_rng(0)
    truth = ndimage.zoom(rng.integers(0, 4, (4, 5)).astype(np.uint8), 9, order=0)
    truth[10:20, 5:30] = VOID
    prediction = np.where(truth == VOID, rng.integers(0, 4, truth.shape), truth).astype(np.uint8)
    boundary = BoundaryScores(4)
    boundary.add(truth, prediction)
    assert boundary.miou == boundary.mean_f1 == 1


def test_before_anything_is_counted():
    found = BoundaryScores(2).to_dict(["a", "b"])
    assert found == {
        "boundary_miou": None,
        "boundary_mean_f1": None,
        "per_class_boundary_iou": {"a": None, "b": None},
        "per_class_boundary_f1": {"a": None, "b": None},
    }


def test_near_is_measured_along_a_straight_line():
    contours, others = np.full((2, 9, 9), VOID, np.uint8)
    others[4, 4] = 1
    contours[[0, 4, 7, 8], [4, 0, 7, 8]] = 1  # distances 4, 4, 4.24 and 5.66
    contours[4, 5] = 0  # of another class
    assert count_near(contours, others, 4.0, 2).tolist() == [[1, 4], [0, 2]]
    assert count_near(contours, others, 4.25, 2).tolist() == [[1, 4], [0, 3]]
    assert count_near(contours, others, 0.5, 2).tolist() == [[1, 4], [0, 0]]
    # A row does not go on in the next one.
    contours, others = np.full((2, 3, 5), VOID, np.uint8)
    contours[0, 4], others[1, 0] = 1, 1
    assert count_near(contours, others, 2.0, 2).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize("scores", [TrimapScores(2), BoundaryScores(2)])
def test_wrong_input_is_refused(scores):
    with pytest.raises(InputError, match=r"labels are \(5, 7\) and predictions \(5, 6\)"):
        scores.add(TRUTH, SHIFTED[:, :6])
    with pytest.raises(InputError, match="prediction value 2 but only 2 classes"):
        scores.add(TRUTH, SHIFTED * 2)
    assert not scores.counts.any()


def test_around_the_void_bands_of_voc_both_borders_are_alike(voc_pairs):
    for example in read_split(voc_pairs, "val"):
        truth = load_label(example.label, 21)
        near = [
            (trimap_distances(truth, border) <= 5) & (truth != VOID) for border in ("any", "void")
        ]
        assert near[1].any() and not (near[1] & ~near[0]).any()
        assert near[1].sum() > 0.95 * near[0].sum()


def disturbed(truth, seed):
    """A label map that is wrong at borders and in some boxes."""
    rng = np.random.default_rng(seed)
    labels = np.roll(truth, rng.integers(-5, 6, 2), (0, 1))
    for top, left in rng.integers(0, 300, (4, 2)):
        labels[top : top + 40, left : left + 60] = rng.integers(0, 21)
    labels[labels == VOID] = 0
    return labels


def slow_trimap(truth, prediction, border, width):
    """The confusion matrix of the pixels whose square of 2 w + 1 holds a border."""
    square = {"size": 2 * width + 1, "mode": "nearest"}
    if border == "void":
        near = ndimage.maximum_filter(truth == VOID, **square)
    else:
        near = ndimage.maximum_filter(truth, **square) != ndimage.minimum_filter(truth, **square)
    matrix = np.zeros((21, 21), int)
    np.add.at(matrix, tuple(labels[near & (truth != VOID)] for labels in (truth, prediction)), 1)
    return matrix


def slow_boundary(truth, prediction):
    """The counts of `BoundaryScores`, each class as a mask of its own, as Cheng et al. release."""
    prediction = np.where(truth == VOID, VOID, prediction)
    diagonal, square = np.hypot(*truth.shape), np.ones((3, 3))
    counts = np.zeros((7, 21), int)
    for index in {*np.unique(truth), *np.unique(prediction)} - {VOID}:
        bands, lines = [], []
        for mask in (truth == index, prediction == index):
            eroded = ndimage.binary_erosion(mask, square, iterations=round(0.02 * diagonal))
            bands.append(mask & ~eroded)
            lines.append(mask & ~ndimage.binary_erosion(mask, square, border_value=1))
        near = [
            lines[0] & (ndimage.distance_transform_edt(~lines[1]) <= 0.0075 * diagonal),
            lines[1] & (ndimage.distance_transform_edt(~lines[0]) <= 0.0075 * diagonal),
        ]
        if not all(line.any() for line in lines):
            near = [lines[0] & False] * 2  # the distance to nothing is none
        parts = [bands[0] & bands[1], *bands, lines[0], near[0], lines[1], near[1]]
        counts[:, index] = [part.sum() for part in parts]
    return counts


def test_equal_to_a_slow_computation_on_masks_of_voc(voc_pairs):
    """Also that the counts of several images are the sum of those of each."""
    names = ("train", "val")
    examples = [example for name in names for example in read_split(voc_pairs, name)[:2]]
    trimaps = {border: TrimapScores(21, border) for border in ("any", "void")}
    boundary, slow = BoundaryScores(21), np.zeros((7, 21), int)
    matrices = {(border, width): 0 for border in trimaps for width in (1, 6, 40)}
    for seed, example in enumerate(examples):
        truth = load_label(example.label, 21)
        prediction = disturbed(truth, seed)
        boundary.add(truth, prediction)
        slow += slow_boundary(truth, prediction)
        for trimap in trimaps.values():
            trimap.add(truth, prediction)
        for border, width in matrices:
            matrices[border, width] += slow_trimap(truth, prediction, border, width)
    np.testing.assert_array_equal(boundary.counts, slow)
    assert 0.1 < boundary.miou < 0.9 and 0.1 < boundary.mean_f1 < 0.9
    for (border, width), matrix in matrices.items():
        np.testing.assert_array_equal(trimaps[border].confusion(width).matrix, matrix)
        assert 0 < np.trace(matrix) < matrix.sum()
