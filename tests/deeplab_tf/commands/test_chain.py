"""A run remembers itself: each command is enough with the folder, and names the next command."""

import json
import shutil

import keras
import numpy as np
import pytest
from small_backbones import small_backbones
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_model import random_model
from tool_runner import run_tool

from deeplab_tf.commands.runs import RUN_FILE, Run
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = [
    *("--backbone=vgg16", "--head=large_fov", "--fc_channels=8", "--weights=none"),
    *("--batch_size=2", "--crop_size=33", "--log_every=1", "--nomirror"),
]


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(data set, folder of a training of two steps on it, what the training printed)."""
    place = tmp_path_factory.mktemp("it is")  # with a space
    data_dir, model_dir = place / "synthetic", place / "run"
    write_synthetic(data_dir, num_train=4, num_val=2, size=(128, 128))
    done = run_tool(
        "train", *TINY, "--dataset=synthetic", f"--data_dir={data_dir}", "--eval_images=1",
        f"--model_dir={model_dir}", "--steps=2",
    )  # fmt: skip
    assert done.status == 0, done.err
    return data_dir, model_dir, done.out


def copy_of(run, tmp_path, num_classes=None):
    """A copy of the folder; with `num_classes`, its networks are ones of a single layer."""
    folder = shutil.copytree(run[1], tmp_path / "run")
    for name in ("best.keras", "last.keras") if num_classes else ():
        random_model(num_classes).save(folder / name)
    return folder


def test_a_training_remembers_itself(run):
    data_dir, model_dir, out = run
    loaded = Run.load(model_dir)
    assert (loaded.dataset, loaded.data_dir) == ("synthetic", str(data_dir))
    assert loaded.network == {
        "network": "deeplab", "backbone": "vgg16", "head": "large_fov",
        "num_classes": loaded.label_set.num_classes, "output_stride": 8, "scales": [1.0],
    }  # fmt: skip
    assert loaded.label_set == LabelSet.load(model_dir / "labels.json")
    assert "step 2: mean IoU on 1 of the 2 images of val 0." in out
    lines = out.splitlines()
    wrote = ", ".join(f"{model_dir / n}" for n in ("best.keras", "last.keras", "labels.json"))
    assert f"wrote {wrote}, {model_dir / RUN_FILE}" in lines
    assert lines[-1] == f"next: deeplab-tf evaluate '--model={model_dir}'"
    assert lines[-2] == f"curves and pictures: tensorboard --logdir='{model_dir}'"
    events = EventAccumulator(str(model_dir / "train")).Reload()
    (score,), loss = events.Scalars("validation_score"), events.Scalars("loss")[-1].value
    assert f"best mean IoU on 1 of the 2 images of val: {score.value:.4f} at step 2" in lines
    (ended,) = [line for line in lines if line.startswith("2 steps done in ")]
    assert ended.endswith(f" images/s, last loss {loss:.4f}")


def test_tensorboard_shows_classes_rates_pictures_and_settings(run):
    _, model_dir, _ = run
    events = EventAccumulator(str(model_dir / "train")).Reload()
    names = {f"class_iou/{name}" for name in Run.load(model_dir).label_set.names}
    found = [name for name in events.Tags()["scalars"] if name.startswith("class_iou/")]
    assert found and names.issuperset(found)
    (score,) = events.Scalars("validation_score")
    ious = [events.Scalars(name)[0].value for name in found]
    assert np.mean(ious) == pytest.approx(score.value, abs=1e-6)
    assert [event.step for event in events.Scalars("learning_rate")] == [1, 2]
    (picture,) = events.Images("validation/0")
    assert picture.width == 3 * 128 + 4 * 6  # image, truth, network
    (text,) = events.Tensors("settings")
    table = text.tensor_proto.string_val[0].decode()
    command = table.splitlines()[0]
    assert command.startswith("    deeplab-tf train ") and " --head=large_fov " in command
    assert "\n| batch_size | 2 |\n" in table and "\n| momentum | 0.9 |\n" in table


def test_a_training_goes_on_by_its_folder_alone(run, tmp_path):
    model_dir = copy_of(run, tmp_path)
    (model_dir / "checkpoints").joinpath("lock").unlink(missing_ok=True)
    done = run_tool("train", f"--model_dir={model_dir}", "--steps=3", "--eval_images=0")
    assert done.status == 0, done.err
    assert "continuing from step 2 of 3" in done.out
    assert f"from {model_dir / RUN_FILE}: " in done.out
    assert "--steps=3" in Run.load(model_dir).flags


def test_weights_are_not_read_again_where_a_checkpoint_replaces_them(run, tmp_path):
    model_dir = copy_of(run, tmp_path)
    content = json.loads((model_dir / RUN_FILE).read_text())
    content["flags"] = [word for word in content["flags"] if word != "--weights=none"]
    content["flags"].append("--init_from=/deleted/long/ago.keras")
    (model_dir / RUN_FILE).write_text(json.dumps(content))
    done = run_tool("train", f"--model_dir={model_dir}")
    assert done.status == 0, done.err
    assert "training is complete: 2 of 2 steps" in done.out


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_weights_of_an_unbroken_one(run, tmp_path):
    """The checkpoint replaces the weights to start from, and the state of dropout with them."""
    data_dir, model_dir, _ = run
    start = shutil.copy(model_dir / "last.keras", tmp_path / "start.keras")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = [*TINY, "--dataset=synthetic", f"--data_dir={data_dir}", "--eval_images=0"]
    flags += [f"--init_from={start}", "--schedule=step", "--learning_rate=1e-2"]
    assert run_tool("train", *flags, f"--model_dir={whole}", "--steps=4").status == 0
    assert run_tool("train", *flags, f"--model_dir={cut}", "--steps=2").status == 0
    start.unlink()
    done = run_tool("train", f"--model_dir={cut}", "--steps=4")
    assert done.status == 0, done.err
    one, other = (
        keras.saving.load_model(folder / "last.keras").get_weights() for folder in (whole, cut)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_evaluation_and_search_by_the_folder_alone(run, tmp_path):
    data_dir, _, _ = run
    model_dir = copy_of(run, tmp_path, Run.load(run[1]).label_set.num_classes)
    done = run_tool("evaluate", f"--model={model_dir / 'last.keras'}")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    data = f"--dataset=synthetic '--data_dir={data_dir}' --split=val"
    assert lines[0] == f"from {model_dir / RUN_FILE}: {data}"
    out_dir = model_dir / "crf_search"
    assert lines[-1] == (
        f"next: deeplab-tf search-crf --model={model_dir / 'last.keras'} --limit=1 "
        f"--out_dir={out_dir}"
    )
    grid = "--rounds=0", "--grid_w1=3", "--grid_sigma_alpha=20", "--grid_sigma_beta=15"
    search = f"--model={model_dir}", "--limit=1", f"--out_dir={out_dir}", "--crf_iterations=1"
    done = run_tool("search_crf", *search, *grid)
    assert done.status == 0, done.err
    flagfile = out_dir / "best_crf.flags"
    assert f"wrote {flagfile}, {out_dir / 'search.png'}, {out_dir / 'search.json'}\n" in done.out
    assert done.out.splitlines()[-1] == (
        f"next: deeplab-tf evaluate --model={model_dir} --skip=1 --flagfile={flagfile}"
    )
    done = run_tool("evaluate", f"--model={model_dir}", "--skip=1", f"--flagfile={flagfile}")
    assert done.status == 0, done.err
    last = done.out.splitlines()[-1]
    assert last.startswith(f"next: deeplab-tf predict --model={model_dir} --crf ")
    assert last.endswith(
        f"--out_dir={model_dir / 'predictions'} '{data_dir}/JPEGImages/val_0001.jpg'"
    )


def test_class_names_without_labels_json(run, tmp_path):
    data_dir, _, _ = run
    model_dir = copy_of(run, tmp_path, Run.load(run[1]).label_set.num_classes)
    (model_dir / "labels.json").unlink()
    image = data_dir / "JPEGImages" / "val_0000.jpg"
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'o'}", image)
    assert done.status == 0, done.err
    written = f"{tmp_path / 'o' / 'val_0000.png'}, {tmp_path / 'o' / 'val_0000_overlay.png'}"
    assert f"wrote {written}\n" in done.out
    assert done.out.splitlines()[-1] == (
        f"next: deeplab-tf export --model={model_dir} --out={model_dir / 'saved_model'}"
    )
    random_model(3).save(model_dir / "best.keras")
    done = run_tool("predict", f"--model={model_dir}", f"--out_dir={tmp_path / 'o'}", image)
    assert f"{model_dir / RUN_FILE}: " in done.error and "has 3" in done.error


def test_a_training_whose_data_fail_leaves_no_memory(run, tmp_path):
    data_dir, _, _ = run
    paths = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'new'}"
    assert "vgg61" in run_tool("train", *TINY, *paths, "--backbone=vgg61").error
    assert not (tmp_path / "new").exists()


def test_a_missing_list_to_validate_on(run, tmp_path):
    data_dir = shutil.copytree(run[0], tmp_path / "data")
    (data_dir / "ImageSets" / "Segmentation" / "val.txt").unlink()
    paths = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'new'}"
    error = run_tool("train", *TINY, *paths).error
    assert "val.txt: no such list" in error
    assert error.endswith("or train without validation: --eval_images=0")
