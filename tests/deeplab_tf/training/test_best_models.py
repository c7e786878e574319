import pytest

from deeplab_tf.training.best_models import BestModels


@pytest.fixture
def best(tmp_path):
    return BestModels(tmp_path, tmp_path / "checkpoints")


def new_best(folder, best, step):
    """As the loop does: each file is replaced, never written into."""
    for name in ("best.keras", "best_crf.json"):
        (folder / "new").write_text(f"{name} of {step}")
        (folder / "new").replace(folder / name)
    best.add(step)


def names(folder):
    return sorted(path.name for path in folder.glob("checkpoints/*"))


@pytest.mark.parametrize("linked", [True, False])
def test_going_back_brings_back_the_best_of_then(tmp_path, best, monkeypatch, linked):
    if not linked:

        def refused(source, target):
            raise OSError("no links here")

        monkeypatch.setattr("os.link", refused)
    for step in (4, 8, 12):
        new_best(tmp_path, best, step)
    best.go_back(11)
    assert (tmp_path / "best.keras").read_text() == "best.keras of 8"
    assert (tmp_path / "best_crf.json").read_text() == "best_crf.json of 8"
    assert names(tmp_path) == ["best-4", "best-8"]
    best.go_back(8)
    assert (tmp_path / "best.keras").read_text() == "best.keras of 8"
    new_best(tmp_path, best, 9)
    best.go_back(8)
    assert (tmp_path / "best.keras").read_text() == "best.keras of 8"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"best.keras", "best_crf.json", "checkpoints"}


def test_a_best_model_of_unknown_step_stays(tmp_path, best):
    best.go_back(3)
    (tmp_path / "best.keras").write_text("of an older version")
    best.go_back(3)
    assert (tmp_path / "best.keras").read_text() == "of an older version"


def test_only_what_a_checkpoint_may_need_is_kept(tmp_path, best):
    for step in (2, 4, 8, 12):
        new_best(tmp_path, best, step)
    best.forget_before(9)  # at 9, the best is that of 8
    assert names(tmp_path) == ["best-12", "best-8"]
    best.forget_before(12)
    assert names(tmp_path) == ["best-12"]


def test_the_same_step_again_replaces_it(tmp_path, best):
    new_best(tmp_path, best, 4)
    (tmp_path / "best.keras").unlink()
    (tmp_path / "best.keras").write_text("again")
    best.add(4)
    (tmp_path / "best.keras").unlink()
    best.go_back(4)
    assert (tmp_path / "best.keras").read_text() == "again"
