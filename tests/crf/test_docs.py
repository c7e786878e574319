"""The examples of the pages on the CRF run as they are."""

import numpy as np
import pytest
from page_example import run_example


@pytest.mark.parametrize("page", ["crf_volumes", "crf_channels", "crf_weak_labels"])
def test_an_example_runs_improves_labels_and_draws_the_page_s_picture(
    page, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    names, drawn, shown = run_example(page)
    assert capsys.readouterr().out
    right_before = (names["before"] == names["truth"]).mean()
    assert (names["labels"] == names["truth"]).mean() > max(0.95, right_before)
    # Other processors may round a label the other way at single pixels.
    assert (np.abs(drawn - shown) > 8).mean() < 0.01
