import io

import cv2
import numpy as np
import pytest
from tiny_archives import png

from deeplab_tf.data.depth import (
    Camera,
    decode_depth,
    depth_levels,
    encode_depth,
    read_camera,
)
from deeplab_tf.errors import InputError


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_png_holds_millimeters():
    depth = decode_depth(png(np.uint16([[0, 1500], [65535, 1]])))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[0, 1.5], [65.535, 0.001]], rtol=1e-7)


def test_floats_come_back_exactly():
    depth = np.random.default_rng(0).uniform(0.5, 10, (5, 7)).astype(np.float32)
    np.testing.assert_array_equal(decode_depth(encode_depth(depth)), depth)
    np.testing.assert_array_equal(decode_depth(npy(depth.astype(np.float64))), depth)
    np.testing.assert_array_equal(decode_depth(npy(np.asfortranarray(depth))), depth)


def test_what_is_no_depth_is_unknown():
    depth = decode_depth(npy(np.array([[1e300, 2.0]])))  # too far for float32
    np.testing.assert_array_equal(depth, [[0, 2]])
    depth = decode_depth(npy(np.float32([[np.nan, np.inf], [-1, 2]])))
    np.testing.assert_array_equal(depth, [[0, 0], [0, 2]])


def test_levels_of_the_logarithm():
    mean = np.exp(7.844) / 1000  # 2.55 meters, the middle: 127.5
    depth = np.float32([[mean * 1.001, mean * np.exp(0.5), mean * np.exp(-0.5)], [0, 0.1, 50]])
    np.testing.assert_array_equal(depth_levels(depth), [[128, 168, 88], [128, 0, 255]])
    # Neighboring levels are 1.3 percent apart.
    meters = np.geomspace(0.53, 12.5, 50, dtype=np.float32)[None]
    steps = np.log(meters[0, -1] / meters[0, 0]) / np.ptp(depth_levels(meters).astype(float))
    assert 0.0123 < steps < 0.0127


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not a depth map; save a 16-bit gray PNG"),
        (cv2.imencode(".jpg", np.zeros((4, 4), np.uint8))[1].tobytes(), "not a depth map"),
        (png(np.zeros((4, 4), np.uint8)), "a depth map of 8 bits, gray; save a 16-bit"),
        (png(np.zeros((4, 4, 3), np.uint16)), "a depth map of 16 bits, rgb"),
        (png(np.ones((40, 40), np.uint16))[:-30], "cannot be read as PNG"),
        (npy(np.zeros((4, 4, 1), np.float32)), r"a depth map of float32 \(4, 4, 1\)"),
        (npy(np.zeros((4, 4), np.uint16)), "a depth map of uint16"),
        (npy(np.zeros((4, 4), np.float32))[:-9], "cannot be read as .npy"),
    ],
)
def test_what_is_no_depth_map_is_refused(contents, message):
    with pytest.raises(InputError, match=message) as error:
        decode_depth(contents)
    assert "\n" not in str(error.value)


def test_a_camera_is_read_and_written(tmp_path):
    camera = Camera(518.85790117450188, 519.5, 325.58, 253.73)
    assert Camera.parse(str(camera)) == camera
    assert Camera.parse(" 519 520\n320 240 ") == (519, 520, 320, 240)
    assert read_camera(tmp_path / "camera.txt") is None
    (tmp_path / "camera.txt").write_text("519 520 320")
    with pytest.raises(InputError, match=r"camera\.txt: camera '519 520 320'; give fx,fy,cx,cy"):
        read_camera(tmp_path / "camera.txt")
    for text in ("", "a,b,c,d", "0,519,320,240", "519,nan,320,240", "1,2,3,4,5"):
        with pytest.raises(InputError, match="give fx,fy,cx,cy in pixels"):
            Camera.parse(text)
