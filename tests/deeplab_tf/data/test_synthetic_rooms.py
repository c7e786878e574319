import numpy as np
import pytest

from deeplab_tf.data.datasets import dataset_camera, open_dataset
from deeplab_tf.data.depth_targets import depth_targets, load_depth_pair
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.synthetic_rooms import (
    BOARD,
    BRIGHTEST,
    CAMERA_HEIGHT,
    CEILING,
    CLASSES,
    FLOOR,
    LAMP,
    WALL,
    draw_room,
    ensure_synthetic_rooms,
    room_camera,
    write_synthetic_rooms,
)
from deeplab_tf.errors import InputError

SIZE = (128, 150)


def rays(size):
    """Meters right and down at a depth of one meter, of every pixel."""
    camera = room_camera(size)
    right = (np.arange(size[1]) - camera.cx) / camera.fx
    down = (np.arange(size[0]) - camera.cy) / camera.fy
    return np.broadcast_arrays(right[None], down[:, None])


@pytest.mark.parametrize("seed", range(3))
def test_every_surface_is_where_it_should_be(seed):
    _, depth, label = draw_room(np.random.default_rng(seed), SIZE)
    right, down = rays(SIZE)
    floor, ceiling = label == FLOOR, label == CEILING
    np.testing.assert_allclose((depth * down)[floor], CAMERA_HEIGHT, rtol=1e-5)
    heights = -(depth * down)[ceiling]
    assert np.ptp(heights) < 1e-4 and 0.9 <= heights.mean() <= 1.7
    walls = np.stack([depth * right, depth])[:, label == WALL]
    # A wall is at one distance to the left, to the right, or in front.
    left, front = walls[0].min(), walls[1].max()
    on_one = np.isclose(walls[0], left, atol=1e-3) | np.isclose(walls[0], walls[0].max(), atol=1e-3)
    assert (on_one | np.isclose(walls[1], front, atol=1e-3)).all()
    assert len(np.unique(depth[label == BOARD])) <= 4  # boards face the camera
    assert (depth > 0.5).all() and (depth <= 9).all()


def test_the_lamp_darkens_what_is_far_away():
    rooms = [draw_room(np.random.default_rng(seed), SIZE) for seed in range(8)]
    image, depth = (np.concatenate([room[part] for room in rooms]) for part in (0, 1))
    bright = image.max(axis=2).astype(float)
    assert bright[depth < 3].mean() > 1.3 * bright[depth > 5].mean()
    brightest = BRIGHTEST / (1 + (depth / LAMP) ** 2)
    # The noise has a standard deviation of 2; at edges, a part of the pixel may be nearer.
    assert (bright < brightest + 10).mean() > 0.98
    assert (abs(bright - brightest) < 10).mean() > 0.2  # of every second tile


def test_the_data_set_is_written_and_opened(tmp_path):
    write_synthetic_rooms(tmp_path / "rooms", 2, 1, SIZE, seed=3)
    examples, label_set = open_dataset("synthetic_rooms", tmp_path / "rooms", "train")
    assert label_set.names == CLASSES and len(examples) == 2
    assert dataset_camera("synthetic_rooms", tmp_path / "rooms") == room_camera(SIZE)
    target = depth_targets(examples, "synthetic_rooms", tmp_path / "rooms")[1]
    _, depth, label = draw_room(np.random.default_rng([3, 0, 1]), SIZE)
    np.testing.assert_allclose(load_depth_pair(target)[1], depth, atol=6e-4)
    np.testing.assert_array_equal(load_label(examples[1].label, 4), label)


def test_more_training_images_leave_the_others_as_they_are(tmp_path):
    for count in (1, 2):
        write_synthetic_rooms(tmp_path / str(count), count, 1, (128, 128))
    for name in ("train_0000", "val_0000"):
        for file in (f"Depth/{name}.png", f"JPEGImages/{name}.jpg"):
            one, two = ((tmp_path / str(count) / file).read_bytes() for count in (1, 2))
            assert one == two


def test_written_once(tmp_path, monkeypatch):
    written = []

    def write(data_dir):
        written.append(data_dir)
        write_synthetic_rooms(data_dir, 1, 1, (128, 128))

    monkeypatch.setattr("deeplab_tf.data.synthetic_rooms.write_synthetic_rooms", write)
    for _ in range(2):
        ensure_synthetic_rooms(tmp_path / "new")
    assert written == [tmp_path / "new"]


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one image for each split"):
        write_synthetic_rooms(tmp_path / "a", 0, 1)
    with pytest.raises(InputError, match="128 pixels a side"):
        write_synthetic_rooms(tmp_path / "a", 1, 1, (60, 128))
    assert not (tmp_path / "a").exists()
