"""The curves of a training run as text."""

from curves import curves_text, main

from deeplab_tf.training.summaries import Summaries


def test_steps_of_a_run_that_was_continued(tmp_path):
    """Points that were written again after a restart count once, with their later value."""
    with Summaries(tmp_path / "train") as summaries:
        summaries.scalars(20, {"loss": 2.0, "learning_rate": 0.1})
        summaries.scalars(40, {"loss": 1.5})
        summaries.scalars(50, {"validation_score": 0.25, "class_iou/sky": 0.5})
        summaries.scalars(60, {"loss": 9.0})
    with Summaries(tmp_path / "train", first_step=51) as summaries:
        summaries.scalars(60, {"loss": 1.25})
        summaries.scalars(60, {"validation_score": 0.3333333})
    assert curves_text(tmp_path) == (
        "step,loss,validation_score\n20,2.0000,\n40,1.5000,\n50,,0.2500\n60,1.2500,0.3333\n"
    )


def test_the_file_and_a_folder_without_curves(tmp_path, capsys):
    with Summaries(tmp_path / "run" / "train") as summaries:
        summaries.scalars(20, {"loss": 1.0})
    assert main(str(tmp_path / "run"), str(tmp_path / "x.csv")) == 0
    assert (tmp_path / "x.csv").read_text() == "step,loss,validation_score\n20,1.0000,\n"
    (tmp_path / "unscored" / "train").mkdir(parents=True)
    for folder in ("absent", "unscored"):
        assert main(str(tmp_path / folder), str(tmp_path / "y.csv")) == 1
        assert f"{folder}: no curves; give the --model_dir" in capsys.readouterr().err
    assert not (tmp_path / "y.csv").exists()
