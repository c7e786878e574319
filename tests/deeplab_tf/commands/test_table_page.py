"""The page and the JSON file of a table: what can be wrong with them is one line."""

import numpy as np
import pytest
from absl import flags as absl_flags

from deeplab_tf.commands import ablation
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.table_page import TablePage, describe_training, spread
from deeplab_tf.errors import InputError


def page(folder, *words):
    values = absl_flags.FlagValues()
    ablation.define_flags(values)
    out = folder / "table.md"
    parse_flags(values, ["--data_dir=d", "--weights=w.h5", "--seeds=1", f"--out={out}", *words])
    return TablePage("ablation", "A table", values, values.out)


def scores(images, skip=0):
    return {"miou": 0.5, "settings": {"split": "val", "skip": skip, "images": images}}


def test_one_value_has_no_range():
    assert spread(np.array([40.0, 43.0, 41.0])) == "41.33 ± 1.50"
    assert spread(np.array([40.0]), sign="+") == "+40.00"


def test_networks_and_budgets_in_words():
    found = describe_training(["--flagfile=voc_fcn32s_mil", "--steps=1200", "--batch_size=2"])
    assert found == "vgg16, FCN-32s, 1,200 steps of 2 crops of 500x500 pixels"
    # What neither the flagfile nor a flag names has the default of `train`.
    found = describe_training(["--backbone=resnet50", "--head=aspp_l"])
    assert found == "resnet50, aspp_l, output stride 8, 20,000 steps of 10 crops of 321x321 pixels"


def test_runs_on_different_images_are_not_compared(tmp_path):
    rows, found = {"a": ("A", ()), "b": ("B", ())}, {"a": [scores(9)], "b": [scores(9)]}
    page(tmp_path).write("| |", rows, found)
    (tmp_path / "table.md").unlink()
    for other in (scores(8), scores(9, skip=2)):
        with pytest.raises(InputError, match=r"scored on .* and on .*; delete scores\.json"):
            page(tmp_path).write("| |", rows, {**found, "b": [other]})
    assert not (tmp_path / "table.md").exists()


def test_what_is_wrong_is_found_before_the_runs(tmp_path):
    with pytest.raises(InputError, match=r"--out=.*x.json: .* ends with .md"):
        page(tmp_path, f"--out={tmp_path / 'x.json'}")
    with pytest.raises(InputError, match="is a folder"):
        page(tmp_path, f"--out={tmp_path}")
    with pytest.raises(InputError, match="unknown flag --stepz; did you mean --steps"):
        page(tmp_path, "--train_flag=--stepz=3")
    for seeds in ("", "1,2,1"):
        with pytest.raises(InputError, match=f"--seeds={seeds}: give one or more different"):
            page(tmp_path, f"--seeds={seeds}")
    with pytest.raises(InputError, match="no such file"):
        page(tmp_path, "--system=absent")
