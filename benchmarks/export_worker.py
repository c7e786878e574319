"""Exports a network for evaluation.py and deploy.py, in a process that ends with its memory.

Each line of standard input is a job in JSON: `network` (a name of network_worker.py, or what
`deeplab_tf.load_model` takes), `path` of the file to write, the `scales` that it holds, and
`calibration`, image files for 8 bits, which are read as by `export --int8`, or null for float32.
The answer has the `megabytes` of what was written; or `not_measured`, the reason, such as a package
that is missing.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.network_worker import NETWORKS, build
from deeplab_tf.commands.calibration import load_calibration
from deeplab_tf.commands.recall import known_setting
from deeplab_tf.data.examples import Example
from deeplab_tf.errors import one_line
from deeplab_tf.export import export_model
from deeplab_tf.export.formats import output_files
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import load_model


def load(name):
    """A network with random weights by its name, or a trained one by its path."""
    return build(name) if name in NETWORKS else load_model(name)


def calibration_images(job, channels):
    """The images of a job; None for float32."""
    if job["calibration"] is None:
        return None
    name = job["network"]
    max_side = None if name in NETWORKS else known_setting(name, "max_side", int)
    examples = [Example(path, path, "") for path in job["calibration"]]
    return load_calibration(examples, channels, max_side)


def file_size(path):
    """Megabytes of a file, or of all files in a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def export(job):
    """Write the file of a job; returns the answer."""
    model = load(job["network"])
    labels = LabelSet.generic(model.output_shape[-1])
    images = calibration_images(job, model.input_shape[-1])
    try:
        export_model(model, job["path"], labels, scales=tuple(job["scales"]), calibration=images)
    except Exception as error:  # a missing package, or whatever a converter raises
        return {"not_measured": one_line(error, 200)}
    path = Path(job["path"])
    parts = [path] if path.is_dir() else output_files(path)
    return {"megabytes": sum(map(file_size, parts))}


def main():
    """Export what the jobs say."""
    # Converters print, too; only answers may go to the standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(export(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
