"""Inference of the published networks against PyTorch: time, share of peak, and peak memory.

    python benchmarks/inference.py --torch_python=PATH [--rounds=5] [--seconds=5]

VGG-16 LargeFOV and ResNet-101 ASPP-L score images of 513x513 in float32 and bfloat16, 1 and 4 at
a time: this package as its tools and exported models do (`fused_call`), PyTorch in
`inference_mode`, in the memory layout that is faster and with weights of bfloat16. PATH is the
Python of an environment with torch. Both have a process of their own for each case, with their
default number of threads, and take turns; peak memory is all that the process has held. The ratio
is of the medians; beside it the least of any round. Without --torch_python the package's own times
alone are printed.
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
    networks.run("inference", 513)


if __name__ == "__main__":
    app.run(main)
