"""A training step of the published networks against PyTorch: time, share of peak, peak memory.

    python benchmarks/train_step.py --torch_python=PATH [--rounds=5] [--seconds=5]

VGG-16 LargeFOV and ResNet-101 ASPP-L (batch normalisation frozen, as published) learn from crops
of 321x321 in float32 and mixed bfloat16, 1 and 4 at a time: forward, backward, and an update by
SGD with momentum, weight decay and the published rates of the layers. This package makes the step
of its training loop, PyTorch the same in the memory layout that is faster, mixed precision by
autocast. The rest is as in benchmarks/inference.py; a step counts as three times the operations
of inference.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Looked for beside this script, the package would not be found.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app

from benchmarks import networks


def main(_):
    """Print the table."""
    networks.run("train", 321)


if __name__ == "__main__":
    app.run(main)
