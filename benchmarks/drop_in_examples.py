"""Runs the published examples of pydensecrf, on it or on crf.pydensecrf; needs only NumPy.

An example is run as it is, but for its import lines, without pictures on the screen.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

_RESULTS = re.compile("Q(_unary)?|MAP|map_soln.*|kl[0-9]", re.IGNORECASE)


def examples_of(checkout, folder):
    """The published examples, as arguments of `run_example` without the package.

    Args:
      checkout: folder of pydensecrf's sources.
      folder: where the examples write their results.

    Returns:
      Dictionary from a name to (script, its arguments, changes).
    """
    examples, tests = Path(checkout) / "examples", Path(checkout) / "tests"
    two_d = {"use_2d = False": "use_2d = True"}
    # pydensecrf refuses the order in which today's NumPy returns these energies.
    ordered = {"unary_from_softmax(probs)": "np.ascontiguousarray(unary_from_softmax(probs))"}
    found = {
        "Non RGB Example.ipynb": (examples / "Non RGB Example.ipynb", [], {}),
        "issue26.py": (tests / "issue26.py", [], ordered),
        "issue29.py": (tests / "issue29.py", [], {}),
    }
    for number in (1, 2, 3):
        arguments = [str(examples / f"{name}{number}.png") for name in ("im", "anno")]
        arguments.append(str(Path(folder) / f"out{number}.png"))
        found[f"inference.py, im{number}"] = examples / "inference.py", arguments, {}
        found[f"inference.py, im{number}, 2D"] = examples / "inference.py", arguments, two_d
    return {
        name: (str(script), *more) for name, (script, *more) in found.items() if script.exists()
    }


def run_tests(checkout, folder, package):
    """Run the published tests in a process of their own.

    Args:
      checkout: folder of pydensecrf's sources.
      folder: where copies of the tests are written.
      package: what stands for pydensecrf in the import lines.

    Returns:
      The last line of pytest's report.
    """
    checkout = Path(checkout)
    found = [*checkout.glob("pydensecrf/tests/test_*.py"), *checkout.glob("tests/test_*.py")]
    copies = [Path(folder) / script.name for script in found]
    for script, copy in zip(found, copies, strict=True):
        copy.write_text(_with_imports(script.read_text(encoding="utf-8"), package))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, copies)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    report = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return report.stdout.strip().splitlines()[-1]


def run_example(script, arguments, changes, package):
    """Run an example.

    Args:
      script: path of a Python file or a notebook.
      arguments: list of its command line arguments.
      changes: dictionary of text in the script and what replaces it.
      package: what stands for pydensecrf in the import lines.

    Returns:
      Dictionary of the arrays and numbers that the script computed; with the key "error" the
      type of the exception, if it raised one.
    """
    source = _source(Path(script))
    for before, after in changes.items():
        source = source.replace(before, after)
    source = _with_imports(source, package)
    variables, results = {"__name__": "__main__"}, {}
    np.random.seed(0)
    sys.modules.update({"matplotlib": mock.MagicMock(), "matplotlib.pyplot": mock.MagicMock()})
    with (
        mock.patch.object(sys, "argv", [str(script), *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            exec(compile(source, script, "exec"), variables)
        except ValueError as error:
            results["error"] = np.array(type(error).__name__)
    found = {name: np.array(value) for name, value in variables.items() if _RESULTS.fullmatch(name)}
    return results | found


def _with_imports(source, package):
    return re.sub(r"^((import|from) )pydensecrf\b", rf"\g<1>{package}", source, flags=re.M)


def _source(script):
    if script.suffix != ".ipynb":
        return script.read_text(encoding="utf-8")
    cells = json.loads(script.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return re.sub("^%.*$", "", "\n".join(code), flags=re.M)
