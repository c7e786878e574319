import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deeplab_tf.evaluation import plots
from deeplab_tf.evaluation.boundary import TrimapScores
from deeplab_tf.evaluation.calibration import Calibration
from deeplab_tf.evaluation.metrics import ConfusionMatrix


@pytest.fixture(scope="module")
def trimaps():
    truth = np.uint8([[0, 0, 0, 0, 1, 1, 1]] * 5)
    before, after = TrimapScores(2), TrimapScores(2)
    before.add(truth, np.uint8([[0, 0, 0, 0, 0, 1, 1]] * 5))
    after.add(truth, truth)
    return before, after


def test_lines_of_a_trimap_are_the_scores_in_per_cent(trimaps):
    miou, accuracy = plots.trimap_figure(*trimaps).axes
    for axes, score in ((miou, "miou"), (accuracy, "pixel_accuracy")):
        assert [line.get_label() for line in axes.lines] == ["before CRF", "after CRF"]
        for line, trimap in zip(axes.lines, trimaps, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 41))
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(trimap.to_dict()[score]))
    looks = {(line.get_color(), line.get_linestyle()) for line in miou.lines}
    assert len(looks) == 2
    (line,) = plots.trimap_figure(trimaps[0]).axes[0].lines
    assert plots.trimap_figure(trimaps[0]).axes[0].get_legend() is None


def test_files_are_svg_and_png_and_always_the_same(trimaps):
    def files():
        with plots.style():
            figure = plots.trimap_figure(*trimaps)
            return [plots.encode(figure, kind) for kind in ("svg", "png")]

    svg, png = files()
    assert svg.startswith(b"<?xml") and b"</svg>" in svg
    image = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    blue = np.uint8(tuple(bytes.fromhex(plots.PRINT.after[1:])))
    assert (image == blue).all(axis=2).sum() > 100
    assert files() == [svg, png]


def test_reliability_leaves_out_bins_of_few_pixels():
    calibration = Calibration(bins=4)
    calibration.sums[:] = [[2, 1000, 0, 99_000], [0, 500, 0, 90_000], [0.2, 400, 0, 89_100]]
    axes = Figure().subplots()
    plots.draw_calibration(axes, calibration)
    _, line = axes.lines
    np.testing.assert_allclose(line.get_xdata(), [40, 90])
    np.testing.assert_allclose(line.get_ydata(), [50, 90_000 / 990])


@pytest.mark.parametrize("num_classes", [2, 13, 200])
def test_a_confusion_matrix_of_any_size(num_classes):
    confusion = ConfusionMatrix(num_classes)
    confusion.matrix[0, :2] = 3, 1
    axes = Figure().subplots()
    plots.draw_confusion(axes, confusion, [f"$class {i}" for i in range(num_classes)])
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array()[0, :2, 3], [0.75, 0.25])
    assert [text.get_text() for text in axes.texts] == (["75", "25"] if num_classes == 2 else [])
    assert len(axes.get_xticklabels()) == (0 if num_classes == 200 else num_classes)
