"""A training step of the published networks against PyTorch: time, efficiency, and peak memory.

    python benchmarks/train_step.py --torch_python=PATH [--rounds=5] [--seconds=5]

VGG-16 LargeFOV and ResNet-101 ASPP-L (batch normalization frozen, as published) train on crops of
321x321 pixels in float32 and mixed bfloat16 and in batches of 1 and 4: forward pass, backward pass,
and an update by SGD with momentum, weight decay and the published learning rates of the layers.
This package runs the step of its training loop, PyTorch the same in the faster memory layout, with
autocast for mixed precision. The rest, --baseline included, is as in benchmarks/inference.py; a
step counts as three times the operations of inference.
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
    networks.run("train", 321)


if __name__ == "__main__":
    app.run(main)
