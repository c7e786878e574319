"""Images of noise with probabilities that know nothing of them, for the CRF."""

import numpy as np


def scene(height=6, width=7, labels=3, seed=0, levels=(0, 256)):
    """Probabilities (H, W, C) float32 and an image (H, W, 3) uint8.

    Args:
      height, width, labels: their sizes.
      seed: another one gives another scene.
      levels: the image's lowest level, and one above its highest.
    """
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(labels), (height, width)).astype(np.float32)
    return probabilities, rng.integers(*levels, (height, width, 3)).astype(np.uint8)
