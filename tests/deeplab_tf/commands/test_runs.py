"""What run.json holds, and which files are refused."""

import json

import pytest
from absl import flags as absl_flags
from tiny_packed import shipped, tiny_builder

from deeplab_tf.commands import train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.runs import RUN_FILE, Run
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

assert shipped and tiny_builder

LABEL_SET = LabelSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)))


def parsed(*words):
    flags = absl_flags.FlagValues()
    train.define_flags(flags)
    parse_flags(flags, words)
    return flags


def describe(*words, splits):
    flags = parsed("--model_dir=m", *words)
    return Run.of_training(flags, {"backbone": "vgg16"}, splits, LABEL_SET)


def test_what_a_training_writes_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start.keras").touch()
    run = describe(
        "--data_dir=my data", "--train_split=more", "--nomirror", "--scales=1,0.5",
        "--weights=start.keras", "--test_pad_to=513", "--num_threads=2",
        "--strategy=multi_worker", splits={"more": [1, 2, 3], "val": [4]},
    )  # fmt: skip
    assert (run.dataset, run.data_dir) == ("voc", f"{tmp_path}/my data")
    assert run.splits == {
        "train": {"list": "more", "images": 3},
        "val": {"list": "val", "images": 1},
    }
    assert run.label_set == LABEL_SET
    assert sorted(run.flags) == [
        f"--data_dir={tmp_path}/my data",
        "--nomirror",
        "--scales=1,0.5",
        "--test_pad_to=513",
        "--train_split=more",
        f"--weights={tmp_path}/start.keras",
    ]
    assert run.answers() == {
        "dataset": "voc", "data_dir": f"{tmp_path}/my data", "split": "val", "pad_to": "513",
    }  # fmt: skip


def test_words_that_are_no_paths_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = describe("--data_dir=d", "--weights=imagenet", splits={"train": [1]})
    assert run.flags == [f"--data_dir={tmp_path}/d", "--weights=imagenet"]
    assert run.answers()["split"] == "val"  # the default, since the training did not validate


@pytest.mark.parametrize("flag", ["data_dir", "weights", "crf_params"])
def test_a_path_may_be_called_like_a_network_of_the_package(shipped, tmp_path, flag):
    run = describe("--data_dir=d", f"--{flag}=squares", splits={"train": [1]})
    assert f"--{flag}={tmp_path / 'squares'}" in run.flags
    assert run.data_dir == str(tmp_path / ("squares" if flag == "data_dir" else "d"))


@pytest.mark.parametrize("name", ["imagenet", "none"])
def test_only_weights_have_names_of_their_own(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    given = [f"--data_dir={name}", f"--weights={name}"]
    run = describe(*given, f"--init_from={name}", splits={"train": [1]})
    paths = [f"--data_dir={tmp_path / name}", f"--init_from={tmp_path / name}"]
    assert sorted(run.flags) == [*paths, f"--weights={name}"]


def test_saved_and_loaded(tmp_path):
    splits = {"train": [1], "val": [2]}
    run = describe("--data_dir=/d", "--test_scales=1,0.75", splits=splits)
    run.save(tmp_path)
    assert Run.load(tmp_path).answers() == run.answers()
    assert Run.load(tmp_path).answers()["scales"] == "1,0.75"
    assert Run.load(tmp_path).label_set == LABEL_SET
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]
    assert Run.load(tmp_path / "absent") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: None,
        lambda content: [],
        lambda content: {key: value for key, value in content.items() if key != "flags"},
        lambda content: {**content, "flags": [3]},
        lambda content: {**content, "flags": "--steps=3"},
        lambda content: {**content, "splits": {}},
        lambda content: {**content, "classes": {"names": ["a"]}},
        lambda content: {**content, "data_dir": None},
        lambda content: {**content, "testing": {"scales": 3}},
    ],
)
def test_other_contents_are_refused(tmp_path, change):
    describe("--data_dir=/d", splits={"train": [1]}).save(tmp_path)
    path = tmp_path / RUN_FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=r"run\.json: not written by training .*; delete it, and"):
        Run.load(tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / RUN_FILE).write_text('{"dataset": ')
    with pytest.raises(InputError, match=r"run\.json: not written by training"):
        Run.load(tmp_path)
