"""Pictures as data URLs, which a page holds instead of requesting files."""

import base64

import cv2
import numpy as np


def data_url(kind, contents):
    """A file as a data URL; `kind`: its media type, such as "image/png"; `contents`: bytes."""
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"


def encode_jpeg(image, quality):
    """The bytes of a JPEG of an image (H, W, 3) uint8 RGB; `quality`: 0 to 100."""
    levels = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
