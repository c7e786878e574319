"""Exports a network with its CRF, and starts the process that serves it under load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import logging

from crf import CRFParams
from deeplab_tf import segment
from deeplab_tf.data.synthetic import draw_scene
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import load_model, suited_crf

# Height and width of the images whose labels are compared.
SIZES = (
    *((64, 64), (97, 131), (360, 480), (375, 500), (513, 513)),
    *((64, 1600), (1600, 200), (1200, 1600)),
)
MAX_PIXELS = 2_000_000
# Bytes that the CRF of an image may take, as `export --crf_max_memory` says: images of more than
# about 900,000 pixels are refined in strips, of which four threads hold four at a time.
CRF_MEMORY = 1_200_000_000

# The remedies of docs/serving.md.
ENVIRONMENT = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1", "MALLOC_ARENA_MAX": "2"}


def prepare(folder, model):
    """Export a network, and write images with the labels that are expected.

    Args:
      folder: Path; it receives the folder "served" and "images.npz".
      model: name or file of a network.
    """
    logging.set_verbosity(logging.WARNING)  # TensorFlow reports every file that it writes
    network = load_model(model)
    params = suited_crf(model) or CRFParams()
    label_set = LabelSet.generic(network.output_shape[-1])
    limits = {"max_pixels": MAX_PIXELS, "crf_options": {"max_memory": CRF_MEMORY}}
    export_saved_model(network, folder / "served", label_set, params, **limits)
    arrays = {}
    for number, size in enumerate(SIZES):
        scene, _ = draw_scene(np.random.default_rng(number), (400, 400))
        image = np.tile(scene, (4, 4, 1))[: size[0], : size[1]]
        arrays[f"image{number}"], arrays[f"labels{number}"] = image, segment(network, image, params)
    np.savez(folder / "images.npz", **arrays)


def start_worker(folder, minutes, threads, remedies=ENVIRONMENT):
    """Start benchmarks/serving_soak_worker.py on what `prepare` wrote.

    It prints lines "done REQUESTS" once it is warm, and at the end its findings as JSON.

    Args:
      folder: what `prepare` wrote to.
      minutes: how long requests are sent.
      threads: how many threads send them.
      remedies: variables of the environment that are set unless they are set already.

    Returns:
      `subprocess.Popen`.
    """
    settings = {"minutes": minutes, "threads": threads, "max_pixels": MAX_PIXELS}
    # -I: nothing of this project is on the path, and no variable adds it.
    worker = Path(__file__).with_name("serving_soak_worker.py").resolve()
    return subprocess.Popen(
        [sys.executable, "-I", str(worker), json.dumps(settings)],
        cwd=folder,
        env={**remedies, **os.environ},
        stdout=subprocess.PIPE,
        text=True,
    )
