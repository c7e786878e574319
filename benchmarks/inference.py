"""Inference of the published networks against PyTorch: time, efficiency, and peak memory.

    python benchmarks/inference.py --torch_python=PATH [--rounds=5] [--seconds=5]

VGG-16 LargeFOV and ResNet-101 ASPP-L score images of 513x513 pixels in float32 and bfloat16 and in
batches of 1 and 4. This package runs the fused network (`deeplab_tf.fuse`), as its commands and
exported models do; PyTorch runs in `inference_mode`, in the faster memory layout, with bfloat16
weights for bfloat16. PATH is the Python of an environment with torch. For each case, both run in
processes of their own with their default number of threads, and take turns. The ratio is that of
the medians; the column after it has the smallest ratio of any round. Peak memory is that of the
whole process.

--baseline=CHECKOUT compares with another checkout of this project instead. Without a peer, only
the package's own times are printed.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app

from benchmarks import networks


def main(_):
    """Print the table."""
    networks.run("inference", 513)


if __name__ == "__main__":
    app.run(main)
