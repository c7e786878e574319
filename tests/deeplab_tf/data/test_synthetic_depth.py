import numpy as np

from deeplab_tf.data.datasets import dataset_camera, open_dataset
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.inputs import add_depth
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.synthetic_depth import (
    CLASSES,
    DISTANCES,
    ensure_synthetic_depth,
    place_in_depth,
    write_synthetic_depth,
)


def test_the_class_is_the_distance_and_nothing_else(tmp_path):
    size = (128, 128)
    write_synthetic_depth(tmp_path / "depth", 2, 1, size, seed=3)
    write_synthetic(tmp_path / "forms", 2, 1, size, seed=3)
    examples, label_set = open_dataset("synthetic_depth", tmp_path / "depth", "train")
    assert label_set.names == CLASSES == ("background", "near", "middle", "far")
    assert dataset_camera("synthetic_depth", tmp_path / "depth") == (128, 128, 63.5, 63.5)
    forms, _ = open_dataset("synthetic", tmp_path / "forms", "train")
    with_depth = add_depth(examples, "rgbd", "synthetic_depth", tmp_path / "depth")
    for example, other, deep in zip(examples, forms, with_depth, strict=True):
        image, label = load_pair(example, 4)
        same_image, form = load_pair(other, 7)
        np.testing.assert_array_equal(image, same_image)  # the class leaves no trace in the color
        np.testing.assert_array_equal(label > 0, form > 0)
        depth = decode_depth(deep.read_depth())
        for index, (nearest, farthest) in enumerate(DISTANCES.values()):
            found = depth[label == index]
            assert ((found >= nearest - 1e-3) & (found <= farthest + 1e-3)).all()


def test_more_training_images_leave_the_others_as_they_are(tmp_path):
    size = (128, 128)
    for count in (1, 2):
        write_synthetic_depth(tmp_path / str(count), count, 1, size)
    for name in ("train_0000.png", "val_0000.png"):
        for kind in ("Depth", "SegmentationClass"):
            files = [tmp_path / str(count) / kind / name for count in (1, 2)]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_every_form_can_have_every_class():
    forms = np.uint8([[0, 1], [2, 3]])
    seen = {
        tuple(place_in_depth(np.random.default_rng(seed), forms)[1].ravel()[1:])
        for seed in range(300)
    }
    assert len(seen) == 27


def test_written_once(tmp_path, monkeypatch):
    written = []

    def write(data_dir):
        written.append(data_dir)
        write_synthetic_depth(data_dir, 1, 1, (128, 128))

    monkeypatch.setattr("deeplab_tf.data.synthetic_depth.write_synthetic_depth", write)
    for _ in range(2):
        ensure_synthetic_depth(tmp_path / "new")
    assert written == [tmp_path / "new"]
