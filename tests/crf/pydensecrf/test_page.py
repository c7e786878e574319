"""The example of docs/pydensecrf.md runs as it stands, and its picture is the one beside it."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_example_draws_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "pydensecrf.md").read_text(), re.DOTALL)
    variables = {}
    exec(example, variables)
    # Three labels in ten are wrong at first.
    assert abs((variables["labels"] == variables["truth"]).mean() - 0.7) < 0.02
    assert (variables["refined"] == variables["truth"]).mean() > 0.98
    assert "right before 0." in capsys.readouterr().out
    drawn, kept = (
        np.array(Image.open(folder / "pydensecrf.png")).astype(int) for folder in (tmp_path, DOCS)
    )
    # A few pixels of the result may differ by rounding.
    assert drawn.shape == kept.shape and (drawn != kept).any(axis=2).mean() < 0.001
