"""Synthetic images, and scores like those of a network, for the benchmarks of the CRF."""

import cv2
import numpy as np


def drawn_image(height, width, grain):
    """A scene (H, W, 3) uint8 of color gradients and blurred discs, plus noise.

    Args:
      height, width: size in pixels.
      grain: standard deviation of the noise, in 8-bit levels.
    """
    rng = np.random.default_rng(0)
    corners = rng.uniform(40, 215, (3, 4, 3)).astype(np.float32)
    scene = cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        color = rng.uniform(20, 235, 3).tolist()
        cv2.circle(scene, center, int(rng.integers(15, 70)), color, -1)
    scene = cv2.GaussianBlur(scene, (0, 0), 2) + rng.normal(0, grain, scene.shape)
    return np.clip(scene, 0, 255).astype(np.uint8)


def softmax(scores):
    """Probabilities (H, W, C) float32."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def random_scores(height, width, num_classes):
    """Probabilities that are independent at every pixel, so that no label can be pruned."""
    return softmax(np.random.default_rng(1).normal(size=(height, width, num_classes)))


def network_scores(height, width, num_classes):
    """Probabilities at output stride 8, upsampled, with only a few probable classes."""
    rng = np.random.default_rng(2)
    coarse = rng.normal(size=((height - 1) // 8 + 1, (width - 1) // 8 + 1, num_classes))
    for label in range(num_classes):  # OpenCV blurs 128 channels at most
        coarse[..., label] = cv2.GaussianBlur(coarse[..., label].astype(np.float32), (0, 0), 3)
    coarse *= 3 / coarse.std()
    coarse[..., 1 + num_classes // 6 :] -= 12
    scores = np.empty((height, width, num_classes), np.float32)
    for label in range(num_classes):
        scores[..., label] = cv2.resize(coarse[..., label], (width, height))
    # A few rows at a time: an image of 33 megapixels has gigabytes of scores.
    for top in range(0, height, 256):
        scores[top : top + 256] = softmax(scores[top : top + 256])
    return scores
