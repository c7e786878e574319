"""Every flagfile in configs/ has known flags, builds and trains; the table is right."""

import shutil
from pathlib import Path

import pytest
from absl import flags
from tool_runner import run_tool

from deeplab_tf.commands import configs, train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.datasets import LABEL_SETS
from deeplab_tf.data.synthetic import write_synthetic

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = [
    path
    for path in sorted(ROOT.glob("configs/*.flags"))
    if configs.read_settings(path.read_text()).get("dataset") in LABEL_SETS
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=4, num_val=2, size=(128, 128))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_trains_two_steps(path, data_dir, tmp_path):
    tiny = ["--dataset=synthetic", "--train_split=train", "--steps=2", "--eval_images=0"]
    tiny += ["--weights=none", "--batch_size=1", "--accumulate=1", "--crop_size=65"]
    if "--tile_size" in path.read_text():
        tiny += ["--tile_size=97", "--tile_overlap=16"]
    folders = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'm'}"
    done = run_tool("train", f"--flagfile={path}", *folders, *tiny)
    assert done.status == 0, done.err
    assert "2 steps done" in done.out
    assert (tmp_path / "m" / "last.keras").is_file()


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.flags")), ids=lambda path: path.stem)
def test_train_knows_every_flag(path):
    values = flags.FlagValues()
    train.define_flags(values)
    words = [f"--flagfile={path}", "--data_dir=d", "--model_dir=m"]
    assert parse_flags(values, words) == []


@pytest.mark.slow
def test_the_table_of_the_systems_is_up_to_date():
    assert (ROOT / "docs" / "systems.md").read_text().endswith(configs.table() + "\n")


def test_the_table_lists_what_is_published(tmp_path):
    for name in ("voc_vgg16_7x7", "demo"):
        shutil.copy(ROOT / "configs" / f"{name}.flags", tmp_path)
    assert configs.table(tmp_path).splitlines() == [
        "| configuration | data | network | parameters | mean IoU | with the CRF |",
        "| --- | --- | --- | --- | --- | --- |",
        "| voc_vgg16_7x7 | voc12_aug | vgg16, 7x7 | 134,346,581 | 64.38 | 67.64 |",
    ]


@pytest.mark.parametrize("words", [["configs"], ["train", "--list_configs"]])
def test_the_table_is_printed(monkeypatch, words):
    monkeypatch.setattr(configs, "table", lambda: "the table")
    assert run_tool(*words).out == "the table\n"


def test_a_flagfile_is_printed_by_name():
    done = run_tool("configs", "demo_crf")
    assert done.out == (ROOT / "configs" / "demo_crf.flags").read_text()
    assert "no such file; did you mean demo" in run_tool("configs", "dmeo").error
    assert "unexpected argument 'b'; give one name" in run_tool("configs", "demo", "b").error


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_file_has_its_command_and_figure(path):
    text = path.read_text()
    assert f"deeplab-tf train --flagfile={path.stem} --data_dir=D" in text
    assert "# Published mean IoU, val: none." in text or configs.published(text)[0]
