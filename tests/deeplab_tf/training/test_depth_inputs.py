"""Networks of color and depth learn what one of color cannot; benchmarks/depth_inputs.py."""

import pytest

from benchmarks.depth_networks import score, train
from deeplab_tf.data.synthetic_depth import write_synthetic_depth


@pytest.mark.slow
def test_only_depth_tells_the_classes_apart(tmp_path):
    write_synthetic_depth(tmp_path / "data", 100, num_val=20)
    iou = {}
    for name in ("rgb", "rgbd", "rgb_hha"):
        matrix = score(train(name, tmp_path / "data", 400), name, tmp_path / "data")
        iou[name] = matrix.per_class_iou[1:].mean()  # of the objects
    assert iou["rgb"] < 0.25
    assert iou["rgbd"] > 0.5 and iou["rgb_hha"] > 0.5
