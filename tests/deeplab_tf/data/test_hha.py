import cv2
import numpy as np
import pytest
from synthetic_room import ANGLES, BANK, CAMERA, FLOOR, RAMP, ROOF, SIZE, STEEP_ROOF, room

from deeplab_tf.data.depth import Camera
from deeplab_tf.data.hha import estimate_gravity, hha_image, surface_normals, viewing_rays

ROOM = (1.4, 1.1, 3.5, 1.8, 1.6)  # meters to floor, ceiling, back, right and left wall


# Distances of the sloping planes, so that each begins where parts of floor and ceiling are still
# seen: the ramp 2.8 m and the steep roof 3 m ahead, the bank 1 m to the right, the roof above.
SLOPES = {RAMP: 2.612, BANK: 1.566, ROOF: 0.953, STEEP_ROOF: 3.148}


def inner(plane, radius=4):
    """Pixels whose window shows one plane alone."""
    edges = cv2.morphologyEx(plane.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    return cv2.dilate(edges.astype(np.uint8), np.ones((2 * radius + 1,) * 2)) == 0


def errors(depth, plane, height, camera=CAMERA):
    """Largest differences of the three channels from what they should be, in levels."""
    levels, inside = hha_image(depth, camera).astype(float), inner(plane)
    expected = np.stack(
        [31000 / np.maximum(100 * depth, 100), 100 * height, 38 + ANGLES[plane]], axis=-1
    )
    return np.abs(levels - np.clip(expected, 0, 255))[inside].max(axis=0)


def test_planes_at_known_angles_and_heights_are_exact_to_a_level():
    depth, plane, height, _ = room(ROOM)
    assert set(np.unique(plane)) == set(range(5))
    assert (errors(depth, plane, height) <= 1).all()
    levels = hha_image(depth, CAMERA)
    # By hand: the back wall is 350 cm away, at the image's middle 140 cm above the floor.
    np.testing.assert_array_equal(levels[120, 160], [round(31000 / 350), 140, 128])
    assert levels[-1, 160, 1] == 0 and levels[-4, 160, 2] == 38  # the floor
    assert levels[4, 160, 1] == 250 and levels[4, 160, 2] == 38 + 180  # the ceiling


@pytest.mark.parametrize("turn", [(12, 0), (25, 4), (35, -7), (8, 10)])
def test_a_tilted_camera_is_right_within_two_levels(turn):
    depth, plane, height, gravity = room(ROOM, *turn)
    assert (plane == FLOOR).mean() > 0.1
    assert (errors(depth, plane, height) <= 2).all()
    x, y = viewing_rays(SIZE, CAMERA)
    found = estimate_gravity(surface_normals(depth, x, y, 10))
    assert np.degrees(np.arccos(found @ gravity)) < 0.2


SLOPING = [[RAMP], [BANK], [ROOF], [STEEP_ROOF], list(SLOPES)]
TURNS = [(12, 0), (20, 0), (25, 4), (20, 0), (8, 10)]


def sloping(slopes, *turn):
    distances = [*ROOM, *(SLOPES[slope] if slope in slopes else np.inf for slope in SLOPES)]
    return room(distances, *turn)


@pytest.mark.parametrize("slopes", SLOPING)
def test_sloping_planes_are_exact_to_a_level(slopes):
    depth, plane, height, _ = sloping(slopes)
    assert {FLOOR, *slopes} <= set(np.unique(plane[inner(plane)]))
    assert (errors(depth, plane, height) <= 1).all()


@pytest.mark.parametrize(("slopes", "turn"), list(zip(SLOPING, TURNS, strict=True)))
def test_sloping_planes_of_a_tilted_camera_are_right_within_two_levels(slopes, turn):
    depth, plane, height, gravity = sloping(slopes, *turn)
    assert (errors(depth, plane, height) <= 2).all()
    x, y = viewing_rays(SIZE, CAMERA)
    found = estimate_gravity(surface_normals(depth, x, y, 10, 4))
    assert np.degrees(np.arccos(found @ gravity)) < 0.2


def test_without_gravity_a_tilted_camera_would_be_wrong(monkeypatch):
    monkeypatch.setattr("deeplab_tf.data.hha.estimate_gravity", lambda normals: np.eye(3)[1])
    assert (errors(*room(ROOM, 25)[:3])[1:] > 10).all()


def test_holes_change_little():
    depth, plane, *_ = room(ROOM, 12)
    holes = np.random.default_rng(0).random(SIZE) < 0.2
    levels, expected = hha_image(np.where(holes, 0, depth), CAMERA), hha_image(depth, CAMERA)
    np.testing.assert_array_equal(levels[holes], 128)
    rest = inner(plane) & ~holes
    assert np.abs(levels.astype(int) - expected)[rest].max() <= 1


def test_a_camera_above_no_visible_floor_is_assumed_at_130_cm():
    # A wall 1.4 m away: its lowest point in the image is 83 cm below the camera's axis.
    levels = hha_image(np.full(SIZE, 1.4, np.float32), CAMERA)
    np.testing.assert_array_equal(levels[120, 160], [221, 130, 128])
    np.testing.assert_array_equal(levels[120 + 30, 160], [221, 130 - 21, 128])


def test_near_depth_and_great_height_are_limited():
    depth, *_ = room((0.95, 9, 30, 9, 9))
    levels = hha_image(depth, CAMERA)
    assert levels[0, 160, 1] == 255
    near = hha_image(np.full(SIZE, 0.3, np.float32), CAMERA)
    np.testing.assert_array_equal(near[..., 0], 255)


def test_mirroring_the_scene_mirrors_the_result():
    camera = Camera(200, 200, (SIZE[1] - 1) / 2, 120)  # symmetric
    depth, *_ = room(ROOM, 15, 6, camera=camera)
    mirrored = hha_image(np.ascontiguousarray(depth[:, ::-1]), camera)
    difference = np.abs(mirrored[:, ::-1].astype(int) - hha_image(depth, camera))
    assert difference.max() <= 1  # rounding of halves


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
def test_any_size(size):
    assert hha_image(np.full(size, 2, np.float32), CAMERA).shape == (*size, 3)
    np.testing.assert_array_equal(hha_image(np.zeros(size, np.float32), CAMERA), 128)


def test_normals_need_three_pixels_that_are_not_in_a_line():
    depth = np.zeros((9, 9), np.float32)
    depth[4, 3:6] = 2
    camera = Camera(10, 10, 4, 4)
    x, y = viewing_rays(depth.shape, camera)
    assert np.isnan(surface_normals(depth, x, y, 1)).all()
    depth[3, 4] = 2
    np.testing.assert_allclose(surface_normals(depth, x, y, 1)[4, 4], [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_normals_against_least_squares_in_each_window(holes):
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 4, (11, 13)).astype(np.float32)
    depth[rng.random(depth.shape) < holes] = 0
    camera, radius = Camera(12, 14, 5.5, 6), 2
    x, y = viewing_rays(depth.shape, camera)
    found = surface_normals(depth, x, y, radius)
    for i, j in np.ndindex(depth.shape):
        rows = slice(max(i - radius, 0), i + radius + 1)
        columns = slice(max(j - radius, 0), j + radius + 1)
        part = depth[rows, columns].astype(np.float64)
        known = part > 0
        rays = np.stack(
            [np.broadcast_to(x[:, columns], part.shape), np.broadcast_to(y[rows], part.shape)], -1
        )
        design = np.column_stack([rays[known], np.ones(known.sum())])
        plane = np.linalg.lstsq(design, 1 / part[known], rcond=None)[0]
        np.testing.assert_allclose(found[i, j], plane / np.linalg.norm(plane), atol=1e-9)
    every_third = surface_normals(depth, x, y, radius, 3)
    np.testing.assert_array_equal(every_third, found[::3, ::3])


def test_noise_as_of_a_depth_camera_hardly_turns_gravity():
    depth, _, _, gravity = room(ROOM, 18, 5)
    noise = np.random.default_rng(0).normal(0, 0.0015, SIZE) * depth**2  # of structured light
    x, y = viewing_rays(SIZE, CAMERA)
    found = estimate_gravity(surface_normals((depth + noise).astype(np.float32), x, y, 10))
    assert np.degrees(np.arccos(found @ gravity)) < 1
