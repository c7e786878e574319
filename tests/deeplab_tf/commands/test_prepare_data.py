import shlex

import pytest
from tiny_archives import gradient, jpeg, stripes, voc_files, write_files, write_sbd, write_voc12
from tool_runner import run_tool

from deeplab_tf.data.datasets import PREPARED, find_builder, open_dataset

NAMES = {"train": {"b": stripes([0, 2]), "a": stripes([1])}, "val": {"c": stripes([255, 1])}}


@pytest.fixture
def archives(tmp_path):
    write_voc12(tmp_path / "manual", NAMES)
    labels, image = {"a": stripes([3]), "d": stripes([4])}, jpeg(gradient(9))
    write_sbd(tmp_path / "manual", labels, train=["a"], images={"d": image})


def prepare(tmp_path, dataset, *arguments):
    folders = {"download_dir": "down", "data_dir": "data", "manual_dir": "manual"}
    given = [f"--{name}={tmp_path / folder}" for name, folder in folders.items()]
    return run_tool("prepare_data", f"--dataset={dataset}", *given, *arguments)


def test_prepares_and_says_how_to_train(tmp_path, archives):
    done = prepare(tmp_path, "voc12_aug", "--trust_archives", "--sbd_void_border=1")
    assert done.status == 0, done.err
    lines = [line for line in done.out.splitlines() if not line.startswith("warning: ")]
    data_dir = tmp_path / "data"
    assert lines[0] == f"{data_dir / 'voc12_aug' / '1.0.0'}: prepared"
    rows = {line.split()[0]: int(line.split()[1]) for line in lines[1:-2]}
    assert rows == {
        "train": 2,
        "sbd": 1,
        "val": 1,
        "trainval": 3,
        "train_aug": 3,
        "trainval_aug": 4,
    }
    assert "deeplab-tf configs" in lines[-2]
    assert lines[-1] == (
        f"next: deeplab-tf train --dataset=voc12_aug --data_dir={data_dir}"
        " --train_split=train_aug --model_dir=runs/voc12_aug"
    )
    assert "preparing voc12_aug: 100%" in done.err and "image/s" in done.err
    assert len(open_dataset("voc12_aug", data_dir, "train_aug")[0]) == 3


def test_a_second_time(tmp_path, archives):
    prepare(tmp_path, "voc12", "--trust_archives")
    done = prepare(tmp_path, "voc12", "--trust_archives")
    assert done.status == 0 and ": already prepared" in done.out
    done = prepare(tmp_path, "voc12", "--trust_archives", "--overwrite")
    assert done.status == 0 and done.out.count(": prepared") == 1
    assert "--trust_archives, which is not given now" in prepare(tmp_path, "voc12").error


def test_archives_are_not_trusted_unasked(tmp_path, archives):
    error = prepare(tmp_path, "voc12").error
    assert "VOCtrainval_11-May-2012.tar: " in error and "--trust_archives" in error
    assert not (tmp_path / "data").exists() and not (tmp_path / "down").exists()


def test_an_option_of_another_data_set(tmp_path, archives):
    error = prepare(tmp_path, "voc12", "--sbd_void_border=1").error
    assert error == "error: --sbd_void_border: voc12 has no such option; it has none"


def test_a_missing_archive(tmp_path):
    (tmp_path / "manual").mkdir()
    error = prepare(tmp_path, "cityscapes").error
    assert "leftImg8bit" in error and "--manual_dir" in error


def test_a_folder(tmp_path):
    files, _ = voc_files(NAMES, root="mine")
    write_files(tmp_path, files)
    given = f"--voc_dir={tmp_path / 'mine'}"
    done = prepare(tmp_path, "folder", given, "--allow_data=void_object")
    assert done.status == 0, done.err
    assert "--train_split=train " in done.out.splitlines()[-1]
    assert done.out.splitlines()[-1].endswith("--allow_data=void_object")
    assert "--eval_images" not in done.out


def test_the_command_is_what_the_shell_takes(tmp_path):
    files, _ = voc_files({"train": {"a": stripes([0, 1])}}, root="it's mine")
    write_files(tmp_path, files)
    given = f"--voc_dir={tmp_path}/it's mine"
    done = run_tool("prepare_data", "--dataset=folder", given, f"--data_dir={tmp_path}/my data")
    assert done.status == 0, done.err
    command = done.out.splitlines()[-1].removeprefix("next: ")
    assert "published systems" not in done.out
    assert shlex.split(command) == [
        "deeplab-tf",
        "train",
        "--flagfile=own_photos",
        "--dataset=folder",
        f"--data_dir={tmp_path}/my data",
        "--train_split=train",
        "--model_dir=runs/photos",
        "--eval_images=0",
        "--steps=200",
    ]


def test_home_is_where_the_shell_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    files, _ = voc_files({"train": {"a": stripes([0, 1])}}, root="home/mine")
    write_files(tmp_path, files)
    done = run_tool("prepare_data", "--dataset=folder", "--voc_dir=~/mine", "--data_dir=~/data")
    assert done.status == 0, done.err
    assert f"--data_dir={tmp_path}/home/data" in done.out.splitlines()[-1]
    assert len(open_dataset("folder", tmp_path / "home" / "data", "train")[0]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_data_that_would_spoil_a_training_is_not_kept(tmp_path):
    files, _ = voc_files(NAMES, root="mine")  # a stripe of 255, and one class nowhere
    write_files(tmp_path, {**files, "mine/classes.txt": "sky\nroad\ncar\ntree\n"})
    given = f"--voc_dir={tmp_path / 'mine'}", f"--data_dir={tmp_path}/my data"
    error = run_tool("prepare_data", "--dataset=folder", *given).error
    assert error.startswith("error: data set not written: 1 problem in the data: folder/1.0.0/")
    assert "label of 'c'" in error and "while no label has 'tree'" in error
    assert not list((tmp_path / "my data").rglob("*.tfrecord*"))
    # The message asks a question, and ends with the command for one of its answers.
    assert "(void_object); to accept it: deeplab-tf prepare-data " in error
    words = shlex.split(error.partition("to accept it: deeplab-tf ")[2])
    assert words[0] == "prepare-data" and words[-1] == "--allow_data=void_object"
    done = run_tool("prepare_data", *words[1:])
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1].endswith("--allow_data=void_object")


def test_void_beside_classes_of_which_several_are_missing_is_void(tmp_path):
    # A few images of many classes: 255 cannot stand for all that are missing.
    files, _ = voc_files(NAMES, root="mine")
    write_files(tmp_path, {**files, "mine/classes.txt": "sky\nroad\ncar\ntree\nboat\n"})
    done = prepare(tmp_path, "folder", f"--voc_dir={tmp_path / 'mine'}")
    assert done.status == 0, done.err
    assert "warning: void_object: " in done.out and "no label has 'tree', 'boat'" in done.out


def test_the_reason_comes_before_what_follows_from_it(tmp_path):
    # Masks of 255 instead of 1, of which two are all object.
    masks = {"a": stripes([0, 255]), "b": stripes([255]), "c": stripes([255]), "d": stripes([0])}
    files, _ = voc_files({"train": masks}, root="mine")
    write_files(tmp_path, {**files, "mine/classes.txt": "background\nbuilding\n"})
    error = prepare(tmp_path, "folder", f"--voc_dir={tmp_path / 'mine'}").error
    assert "3 problems in the data, the first: folder/1.0.0/" in error
    assert "255 (void, not learned) is the only value other than 0 in 3 of 4 labels" in error
    assert "while no label has 'building'; if 255 is meant as a class, write" in error
    assert "(void_object, void_only); to accept it: " in error
    assert error.endswith(" --allow_data=void_object,void_only")


def test_every_option_has_its_flag():
    done = run_tool("prepare_data", "--help")
    for dataset in PREPARED:
        for option in find_builder(dataset).OPTIONS:
            assert f"  --{option}=" in done.out or f"  --[no]{option}\n" in done.out, option
