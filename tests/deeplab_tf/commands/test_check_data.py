import json
import shutil

import cv2
import planted
import pytest
from tiny_archives import pack, stripes, voc_files
from tool_runner import run_tool


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clean"
    planted.write_small_set(folder)
    return folder


@pytest.fixture
def folder(tmp_path, clean):
    """A copy to plant defects in."""
    return shutil.copytree(clean, tmp_path / "data")


def test_a_clean_set_passes(clean, tmp_path):
    json_out, picture = tmp_path / "new" / "report.json", tmp_path / "picture.png"
    done = run_tool(
        "check_data", f"--data_dir={clean}", f"--json_out={json_out}", f"--picture_out={picture}"
    )
    assert done.status == 0, done.err
    assert "train: 6 of 6 examples\nval: 2 of 2 examples" in done.out
    assert "no problem found" in done.out
    assert "no example to show: no picture written" in done.out and not picture.exists()
    report = json.loads(json_out.read_text())
    assert report["ok"] and report["findings"] == []
    assert sum(report["splits"]["train"]["pixels"].values()) == 6 * 128 * 128


@pytest.mark.parametrize("name", planted.DEFECTS)
def test_each_planted_defect_is_found_and_no_other(folder, tmp_path, name):
    kind, plant = planted.DEFECTS[name]
    file, json_out = str(plant(folder)), tmp_path / "report.json"
    done = run_tool("check_data", f"--data_dir={folder}", f"--json_out={json_out}")
    assert done.error.startswith("error: ")
    errors = [f for f in json.loads(json_out.read_text())["findings"] if f["severity"] == "error"]
    assert {finding["kind"] for finding in errors} == {kind}
    assert errors[0]["file"] == file
    assert f"{file}: {errors[0]['what']}; {errors[0]['remedy']}" in done.error
    assert f"error {kind}: {len(errors)}\n  {file}: " in done.out


@pytest.mark.parametrize("name", ["EXIF", "60 classes against 21", "train in val"])
def test_each_kind_can_be_allowed(folder, name):
    kind, plant = planted.DEFECTS[name]
    plant(folder)
    done = run_tool("check_data", f"--data_dir={folder}", f"--allow_data=void_only,{kind}")
    assert done.status == 0, done.err
    assert f"warning {kind}: " in done.out
    # A training checks again, and would refuse the data without the flag.
    assert done.out.splitlines()[-1].endswith(f"--allow_data=void_only,{kind}")


def test_the_picture_shows_the_first_problems(folder, tmp_path):
    planted.DEFECTS["mask of 0 and 128"].plant(folder)
    picture = tmp_path / "new" / "picture.png"
    done = run_tool("check_data", f"--data_dir={folder}", f"--picture_out={picture}")
    assert done.status == 1
    assert f"picture: {picture}" in done.out
    assert cv2.imread(str(picture)).shape[1] > 640


def test_all_missing_files_are_counted(folder):
    shutil.rmtree(folder / "SegmentationClass")
    done = run_tool("check_data", f"--data_dir={folder}")
    assert done.error.startswith("error: 8 problems in the data, the first: ")
    assert "error label_missing: 8" in done.out
    assert done.out.count("train_000") == 3
    assert "  and 5 more" in done.out


def test_a_default_list_that_is_missing_is_a_warning(folder):
    planted.split_path(folder, "val").unlink()
    done = run_tool("check_data", f"--data_dir={folder}")
    assert done.status == 0, done.err
    assert (
        f"warning list_missing: 1\n  {planted.split_path(folder, 'val')}: no such list" in done.out
    )
    asked_for = run_tool("check_data", f"--data_dir={folder}", "--splits=train,val")
    assert "no such list; write the names of the split's examples there" in asked_for.error
    planted.split_path(folder).unlink()
    assert "train.txt: no such list" in run_tool("check_data", f"--data_dir={folder}").error


@pytest.fixture
def prepared(tmp_path):
    """A prepared set of which one label is nothing but void."""
    files, _ = voc_files({"train": {"a": stripes([255, 255])}, "val": {"b": stripes([0, 2])}})
    pack(tmp_path / "archives" / "VOCtrainval_11-May-2012.tar", files)
    done = run_tool(
        "prepare_data", "--dataset=voc12", "--trust_archives", f"--data_dir={tmp_path}",
        f"--manual_dir={tmp_path / 'archives'}", f"--download_dir={tmp_path / 'unpacked'}",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "warning: void_only: " in done.out
    return tmp_path


def test_a_prepared_set(prepared):
    flags = "--dataset=voc12", f"--data_dir={prepared}"
    # What prepare_data takes is no error afterwards, either.
    done = run_tool("check_data", *flags)
    assert done.status == 0, done.err
    assert "warning void_only: 1" in done.out
    (metadata,) = prepared.glob("voc12/*/metadata.json")
    content = json.loads(metadata.read_text())
    del content["names"]["val"], content["lists"]["trainval"]
    metadata.write_text(json.dumps(content))
    done = run_tool("check_data", *flags)
    assert done.status == 0, done.err
    assert f"warning list_missing: 1\n  {metadata.parent}: unknown list 'val'" in done.out
    error = run_tool("check_data", *flags, "--splits=val").error
    assert "unknown list 'val'; available: train" in error


def test_lists_of_paths(folder):
    # As many lists of VOC with SBD's labels are.
    split = planted.split_path(folder)
    lines = split.read_text().split()
    split.write_text("".join(f"/JPEGImages/{x}.jpg /SegmentationClass/{x}.png\n" for x in lines))
    done = run_tool("check_data", f"--data_dir={folder}")
    assert done.status == 0, done.err
    assert "train: 6 of 6 examples" in done.out
    here = "".join(
        f"{folder}/JPEGImages/{x}.jpg {folder}/SegmentationClass/{x}.png\n" for x in lines
    )
    split.write_text(here)
    done = run_tool("check_data", f"--data_dir={folder}")
    assert done.status == 0, done.err
    assert "train: 6 of 6 examples" in done.out
    assert done.out.splitlines()[-1] == (
        f"next: deeplab-tf train --flagfile=own_photos --dataset=voc --data_dir={folder} "
        "--train_split=train --model_dir=runs/data --steps=200"
    )
    split.write_text("../train_0000\n")
    done = run_tool("check_data", f"--data_dir={folder}", "--splits=train")
    assert f"{split}: '../train_0000' leads out of the data set's folder" in done.error


def test_a_list_that_is_no_text(folder):
    planted.split_path(folder).write_bytes(b"\xff\xfe\x00")
    done = run_tool("check_data", f"--data_dir={folder}", "--splits=train")
    assert "train.txt: not a text file in UTF-8; save it as UTF-8" in done.error


def test_a_sample(folder):
    planted.DEFECTS["EXIF"].plant(folder)
    done = run_tool("check_data", f"--data_dir={folder}", "--sample=2", "--splits=val,train")
    assert "train: 2 of 6 examples" in done.out and "error image_rotated" in done.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data_dir=absent"], "absent: no such folder; give the folder of a data set"),
        (["--allow_data=void"], "unknown kind of finding 'void'; available: list_missing, "),
        (["--dataset=voc12"], "no prepared data; make it with deeplab-tf prepare-data"),
        (["--splits="], "--splits names no list; give some, such as --splits=train,val"),
        (["--splits=train,train"], "list 'train': is named twice, to train and to validate on"),
    ],
)
def test_bad_flags_are_one_line(clean, flags, said):
    assert said in run_tool("check_data", f"--data_dir={clean}", *flags).error


@pytest.mark.parametrize("flag", ["json_out", "picture_out"])
def test_a_folder_for_a_file_is_refused_before_the_check(clean, tmp_path, flag):
    done = run_tool("check_data", f"--data_dir={clean}", f"--{flag}={tmp_path}")
    assert done.error == f"error: {tmp_path}: is a folder; give the name of a file"
    assert done.out == ""


@pytest.mark.parametrize("sample", [16, pytest.param(0, marks=pytest.mark.slow)])
def test_camvid_passes(camvid, sample):
    # A twentieth of it is void, in areas; it has no background class.
    done = run_tool("check_data", f"--data_dir={camvid}", f"--sample={sample}")
    assert done.status == 0, done.err
    assert "no problem found" in done.out
