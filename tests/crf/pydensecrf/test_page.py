"""The example of docs/pydensecrf.md runs as it stands, and its picture is the one beside it."""

from page_example import run_example


def test_the_example_draws_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    variables, drawn, kept = run_example("pydensecrf")
    # Three labels in ten are wrong at first.
    assert abs((variables["labels"] == variables["truth"]).mean() - 0.7) < 0.02
    assert (variables["refined"] == variables["truth"]).mean() > 0.98
    assert "right before 0." in capsys.readouterr().out
    # A few pixels of the result may differ by rounding.
    assert (drawn != kept).any(axis=2).mean() < 0.001
