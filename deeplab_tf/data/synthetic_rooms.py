"""Synthetic rooms: pictures of color from which the depth can be told.

The camera stands in a room, at the same height above the floor in every picture and level. Boards
stand on the floor. The colors of all surfaces are random and equally bright, and three things tell
how far away they are, as in photographs of rooms:

- perspective: where the floor ends and where a board touches it;
- texture: every surface is tiled, and all tiles have the same size, so far ones look smaller;
- light: a lamp at the camera lights near surfaces more than far ones.

In the pictures of `deeplab_tf.data.synthetic_depth`, color tells nothing of the depth.
"""

import cv2
import numpy as np

from deeplab_tf.data.depth import CAMERA_FILE, MILLIMETERS, Camera
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.synthetic_files import ensure_data_set, new_data_set, write_scenes
from deeplab_tf.data.voc import DEPTH_FOLDER, LABELS_FOLDER
from deeplab_tf.labels import LabelSet

CLASSES = ("floor", "ceiling", "wall", "board")
FLOOR, CEILING, WALL, BOARD = range(4)

CAMERA_HEIGHT = 1.5  # meters above the floor
TILE = 0.5  # side of the tiles, meters
LAMP = 4.0  # meters at which a surface has half of the light of a very near one
BRIGHTEST, DARKER = 240, 0.6  # level of a tile's strongest color, and factor of every second tile
NUM_BOARDS = (1, 4)  # fewest and most in a room
_SAMPLES = 3  # rays along each side of a pixel, whose colors are averaged


def room_camera(size):
    """The `Camera` of pictures of a size, (height, width) in pixels: 71 degrees wide."""
    height, width = size
    return Camera(0.7 * width, 0.7 * width, (width - 1) / 2, (height - 1) / 2)


def draw_room(rng, size):
    """Draw a room.

    Args:
      rng: `numpy.random.Generator`; the same state draws the same room.
      size: (height, width) in pixels.

    Returns:
      image (H, W, 3) uint8 RGB; depth (H, W) float32, meters along the camera's axis; label
      (H, W) uint8, indices into `CLASSES`.
    """
    fewest, most = NUM_BOARDS
    room = _draw_walls(rng)
    boards = [_draw_board(rng) for _ in range(rng.integers(fewest, most + 1))]
    # Many rays in each pixel for the color, the one through its center for depth and class.
    offsets = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    color = np.mean([_trace(room, boards, size, v, u)[0] for v in offsets for u in offsets], axis=0)
    _, depth, label = _trace(room, boards, size, 0.0, 0.0)
    color += rng.normal(0, 2, color.shape)
    return np.clip(np.rint(color), 0, 255).astype(np.uint8), depth, label


def _draw_walls(rng):
    """Distances of the planes around the camera, in meters, and the colors of their tiles."""
    height, (left, right) = rng.uniform(2.4, 3.2), rng.uniform(1.0, 3.5, 2)
    distances = [CAMERA_HEIGHT, height - CAMERA_HEIGHT, left, right, rng.uniform(3.0, 9.0)]
    return distances, [_draw_tiles(rng) for _ in distances]


def _draw_board(rng):
    """A board as (distance, left, right, top), meters from the camera, and its tiles' colors."""
    distance, width = rng.uniform(1.5, 7.0), rng.uniform(0.5, 1.2)
    left = rng.uniform(-0.6, 0.6) * distance - width / 2
    top = CAMERA_HEIGHT - rng.uniform(0.7, 2.0)
    return (distance, left, left + width, top), _draw_tiles(rng)


def _draw_tiles(rng):
    """Two colors (2, 3), of which one is clearly darker, and where the first tile begins (2,)."""
    color = rng.uniform(60, 250, 3)
    color *= BRIGHTEST / color.max()
    return np.stack([color, DARKER * color]), rng.uniform(0, TILE, 2)


def _trace(room, boards, size, v_offset, u_offset):
    """What the ray through each pixel meets first: color (H, W, 3), depth and class (H, W)."""
    camera = room_camera(size)
    y = ((np.arange(size[0]) + v_offset - camera.cy) / camera.fy)[:, None]
    x = ((np.arange(size[1]) + u_offset - camera.cx) / camera.fx)[None]
    x, y = np.broadcast_arrays(x, y)  # meters right and down, at a depth of one meter
    (floor, ceiling, left, right, back), tiles = room
    tiny = 1e-9
    planes = [floor / np.maximum(y, tiny), ceiling / np.maximum(-y, tiny)]
    planes += [left / np.maximum(-x, tiny), right / np.maximum(x, tiny), np.full(size, back)]
    hit, depth = np.argmin(planes, axis=0), np.min(planes, axis=0)
    label = np.uint8([FLOOR, CEILING, WALL, WALL, WALL])[hit]
    # Coordinates on each plane, in meters: across it and along it.
    across = np.where((hit == 2) | (hit == 3), y, x) * depth
    along = np.where(hit == 4, y * depth, depth)
    color = np.zeros((*size, 3))
    for plane, tile in enumerate(tiles):
        color[hit == plane] = _tiled(tile, across[hit == plane], along[hit == plane])
    for (distance, first, last, top), tile in boards:
        across, along = x * distance, y * distance
        inside = (across >= first) & (across <= last) & (along >= top) & (along <= CAMERA_HEIGHT)
        inside &= distance < depth
        depth[inside], label[inside] = distance, BOARD
        color[inside] = _tiled(tile, across[inside], along[inside])
    light = 1 / (1 + (depth / LAMP) ** 2)
    return color * light[..., None], depth.astype(np.float32), label


def _tiled(tile, across, along):
    colors, start = tile
    numbers = np.floor((across + start[0]) / TILE) + np.floor((along + start[1]) / TILE)
    return colors[numbers.astype(int) % 2]


def write_synthetic_rooms(data_dir, num_train=200, num_val=40, size=(160, 192), seed=0):
    """Write the data set in VOC layout, with splits "train" and "val", `Depth` and camera.txt.

    Args:
      data_dir: folder to create; if it exists, it must be empty.
      num_train: number of training images.
      num_val: number of validation images.
      size: (height, width) of the images in pixels.
      seed: each image depends only on the seed, its split and its number.

    Raises:
      InputError: if `data_dir` holds files, or a number or size is out of its range.
    """
    colors = LabelSet.in_voc_colors(CLASSES).color_table()

    def draw(split_number, number):
        image, depth, label = draw_room(np.random.default_rng([seed, split_number, number]), size)
        levels = np.rint(MILLIMETERS * depth).astype(np.uint16)
        depth_png = cv2.imencode(".png", levels)[1].tobytes()
        return image, {LABELS_FOLDER: encode_label(label, colors), DEPTH_FOLDER: depth_png}

    with new_data_set(data_dir, CAMERA_FILE) as folder:
        write_scenes(folder, {"train": num_train, "val": num_val}, size, CLASSES, draw)
        (folder / CAMERA_FILE).write_text(f"{room_camera(size)}\n")


def ensure_synthetic_rooms(data_dir):
    """Write the data set with its default sizes unless it is already in `data_dir`.

    Args:
      data_dir: folder of the data set; made if missing.

    Raises:
      InputError: if `data_dir` holds other files.
    """
    ensure_data_set(data_dir, CAMERA_FILE, write_synthetic_rooms)
