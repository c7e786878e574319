"""The pages whose one block of Python draws the picture that they show."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run_example(page):
    """Run the one example of a page, such as "crf_volumes", as it stands in the current folder.

    Returns:
      The example's variables by their names, and the picture that it drew and the one of the page,
      as integers of the same shape.
    """
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    names = {}
    exec(compile(code, page, "exec"), names)
    drawn, shown = (
        np.asarray(Image.open(folder / f"{page}.png")).astype(int) for folder in (Path(), DOCS)
    )
    assert drawn.shape == shown.shape
    return names, drawn, shown
