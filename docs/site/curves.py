"""Write the curves of a training run as text: python docs/site/curves.py RUN FILE.csv

RUN is the --model_dir of `deeplab-tf train`. Each line of FILE.csv has a step, the mean loss of the
steps since the line before, and the validation score, the mean IoU, where the training validated.
"""

import csv
import io
import sys
from pathlib import Path

from tensorboard.backend.event_processing import event_accumulator

CURVES = ("loss", "validation_score")


def main(run, file):
    """Write the file.

    Args:
      run, file: str, the folder of the run and the file.

    Returns:
      int, the exit status: not 0 if the run has no curves.
    """
    text = curves_text(run)
    if text is None:
        print(f"error: {run}: no curves; give the --model_dir of a training run", file=sys.stderr)
        return 1
    Path(file).write_text(text, "utf-8")
    print(f"wrote {file}")
    return 0


def curves_text(run):
    """The curves as CSV, or None if there are none.

    Args:
      run: path of the run's folder.

    Returns:
      str, a heading and a line for each step of a curve; a value that was not measured is left out.
    """
    if not (Path(run) / "train").is_dir():
        return None
    # 0: all points. The pictures of the validations are not needed.
    sizes = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 1}
    events = event_accumulator.EventAccumulator(str(Path(run) / "train"), sizes).Reload()
    found = {}
    for curve in CURVES:
        if curve in events.Tags()["scalars"]:
            for point in events.Scalars(curve):
                found.setdefault(point.step, {})[curve] = f"{point.value:.4f}"
    if not found:
        return None
    lines = io.StringIO()
    table = csv.DictWriter(lines, ["step", *CURVES], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({"step": step, **found[step]} for step in sorted(found))
    return lines.getvalue()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
