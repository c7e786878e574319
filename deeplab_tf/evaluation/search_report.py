"""Results of a search for CRF parameters as a table, as a flagfile, and as a picture."""

import cv2
import numpy as np

from crf.search import SearchGrid, best_trial, rank_trials

_CELL = (72, 30)  # width and height in pixels of one point in the picture
_TITLE_CELLS = 7  # width of a block's title in cells
_MARGIN = 6
_WHITE, _BLACK, _GRAY = (255, 255, 255), (0, 0, 0), (225, 225, 225)


def trial_table(trials, before, rows=10):
    """Format the best points of a search as text.

    Args:
      trials: list of `crf.search.Trial` with the mean IoU as score.
      before: mean IoU without the CRF.
      rows: number of points to list.

    Returns:
      Lines of text; the change is relative to `before`.
    """
    names = SearchGrid.names()
    heads = [*names, "round", "mean IoU", "change"]
    lines = ["".join(head.rjust(13) for head in heads)]
    lines.append("-" * len(lines[0]))
    for params, score, number in rank_trials(trials)[:rows]:
        cells = [f"{getattr(params, name):g}" for name in names]
        cells += [str(number), f"{score:.4f}", f"{score - before:+.4f}"]
        lines.append("".join(cell.rjust(13) for cell in cells))
    return "\n".join(lines)


def params_flagfile(params, comments=()):
    """Format CRF parameters as flags of the commands evaluate, predict and export.

    Args:
      params: `CRFParams` with Potts compatibility.
      comments: lines of text to put at the top.

    Returns:
      The text of a file for --flagfile.
    """
    flags = params_flags(params).values()
    return "\n".join([*(f"# {line}" for line in comments), "--crf", *flags, ""])


def params_flags(params):
    """The flags of the commands that give CRF parameters, without the compatibility.

    Args:
      params: `CRFParams`.

    Returns:
      {name of the flag: the flag with its value}.
    """
    names = (*SearchGrid.names(), "iterations", "normalization")
    return {f"crf_{name}": f"--crf_{name}={_exact(getattr(params, name))}" for name in names}


def search_picture(trials):
    """Draw the scores: one block for each w1, sigma_alpha to the right, sigma_beta down.

    Brighter is better, on one scale for all blocks; the best point has a frame. If w2 or
    sigma_gamma were searched too, each of their values has its own blocks.

    Args:
      trials: list of `crf.search.Trial`, at least one.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    best, blocks = best_trial(trials), {}
    for trial in trials:
        params = trial.params
        blocks.setdefault((params.w2, params.sigma_gamma, params.w1), []).append(trial)
    scores = [trial.score for trial in trials]
    pictures = [_block(blocks[key], best, min(scores), max(scores)) for key in sorted(blocks)]
    width = max(picture.shape[1] for picture in pictures)
    padding = [(0, 0), (0, 0), (0, 0)]
    for index, picture in enumerate(pictures):
        padding[1] = (0, width - picture.shape[1])
        pictures[index] = np.pad(picture, padding, constant_values=255)
    return np.concatenate(pictures)


def _block(trials, best, low, high):
    """One cell for each sigma_alpha and sigma_beta; pairs not tried with this w1 stay gray."""
    alphas = sorted({trial.params.sigma_alpha for trial in trials})
    betas = sorted({trial.params.sigma_beta for trial in trials})
    columns = max(len(alphas) + 1, _TITLE_CELLS)
    shape = (len(betas) + 2) * _CELL[1] + 2 * _MARGIN, columns * _CELL[0] + 2 * _MARGIN, 3
    block = np.full(shape, _WHITE, np.uint8)
    params = trials[0].params
    title = f"w1 {params.w1:g}   w2 {params.w2:g}   sigma_gamma {params.sigma_gamma:g}"
    _write(block, f"{title}   right: sigma_alpha   down: sigma_beta", 0, 0)
    for column, alpha in enumerate(alphas):
        _write(block, f"{alpha:g}", 1, column + 1)
    for row, beta in enumerate(betas):
        _write(block, f"{beta:g}", row + 2, 0)
        cv2.rectangle(block, *_corners(row + 2, 1, len(alphas)), _GRAY, cv2.FILLED)
    for trial in trials:
        row, column = betas.index(trial.params.sigma_beta), alphas.index(trial.params.sigma_alpha)
        _draw_trial(block, row + 2, column + 1, trial.score, low, high)
    if best in trials:
        row, column = betas.index(best.params.sigma_beta), alphas.index(best.params.sigma_alpha)
        cv2.rectangle(block, *_corners(row + 2, column + 1), _BLACK, 3)
    return block


def _draw_trial(block, row, column, score, low, high):
    share = (score - low) / (high - low) if high > low else 1.0
    shade = np.full((1, 1), round(255 * share), np.uint8)
    blue, green, red = cv2.applyColorMap(shade, cv2.COLORMAP_VIRIDIS)[0, 0].tolist()
    cv2.rectangle(block, *_corners(row, column), (red, green, blue), cv2.FILLED)
    _write(block, f"{score:.4f}", row, column, _BLACK if share > 0.5 else _WHITE)


def _corners(row, column, cells=1):
    """Top left and bottom right pixel of cells in a row; OpenCV's rectangles include both."""
    left, top = _MARGIN + column * _CELL[0], _MARGIN + row * _CELL[1]
    return (left, top), (left + cells * _CELL[0] - 1, top + _CELL[1] - 1)


def _write(block, text, row, column, color=_BLACK):
    (left, _), (_, bottom) = _corners(row, column)
    origin = left + _MARGIN, bottom - 9
    cv2.putText(block, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)


def _exact(value):
    # repr gives all the digits that distinguish a float from its neighbors.
    return repr(value).removesuffix(".0") if isinstance(value, float) else value
