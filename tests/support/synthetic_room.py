"""The depth of a room of planes, as an ideal camera sees it."""

import numpy as np

from deeplab_tf.data.depth import Camera

CAMERA = Camera(200, 200, 160, 120)
SIZE = (240, 320)

# The planes: the unit vector from the camera's place to each (X right, Y down, Z forward), and the
# angle of its normal, which points away from the camera, with gravity in degrees.
S, C = 0.5, 0.75**0.5  # sine and cosine of 30 degrees
NORMALS = (
    *((0, 1, 0), (0, -1, 0), (0, 0, 1), (1, 0, 0), (-1, 0, 0)),
    (0, C, S),  # a ramp that rises to the back wall
    (C, S, 0),  # a bank that rises to the right wall
    (-S, -C, 0),  # a roof pitched by 30 degrees, lowest at the left wall
    (0, -S, C),  # one pitched by 60 degrees, lowest at the back wall
)
FLOOR, CEILING, BACK, RIGHT, LEFT, RAMP, BANK, ROOF, STEEP_ROOF = range(9)
ANGLES = np.array([0, 180, 90, 90, 90, 30, 60, 150, 120])


def room(distances, pitch=0, roll=0, size=SIZE, camera=CAMERA):
    """Look into a room.

    Args:
      distances: in meters from the camera to floor, ceiling, back, right and left wall; then, where
        there are any, to the sloping planes, in the order of `NORMALS`.
      pitch: by how many degrees the camera looks down.
      roll: by how many degrees it is turned around its axis.
      size: (height, width) of the image.
      camera: `Camera`.

    Returns:
      depth (H, W) float32 in meters; plane (H, W), the number of what is seen; height (H, W) in
      meters above the floor; gravity (3,), its direction in the camera's coordinates.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    rays = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(size)], axis=-1
    )
    p, r = np.radians([pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    to_room = np.array(about_x) @ np.array(about_z)
    rays = rays @ to_room.T
    toward = rays @ np.array(NORMALS, float).T  # (H, W, planes)
    far = np.full_like(toward, np.inf)
    reach = np.array([*distances, *[np.inf] * (len(NORMALS) - len(distances))], float)
    depths = np.divide(reach, toward, out=far, where=toward > 1e-9)
    depth = depths.min(axis=-1)
    height = distances[FLOOR] - depth * rays[..., 1]
    return depth.astype(np.float32), depths.argmin(axis=-1), height, to_room.T @ [0.0, 1.0, 0.0]
