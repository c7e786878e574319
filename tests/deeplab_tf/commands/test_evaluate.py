import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from planted import png, png_with_orientation
from tiny_model import random_model
from tool_runner import TOOLS, run_tool
from worker_processes import ended, running

from crf import CRFParams
from deeplab_tf.data import datasets
from deeplab_tf.data.image_files import load_image, load_label, load_pair
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.evaluation import ConfusionMatrix, segment
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CRF = ["--crf", "--crf_w1=10", "--crf_sigma_alpha=20", "--crf_sigma_beta=15", "--crf_iterations=2"]
PARAMS = CRFParams(w1=10, sigma_alpha=20, sigma_beta=15, iterations=2)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=3, size=(128, 150))
    return folder


def expected_scores(model, data_dir, limit=None, skip=0, **settings):
    label_set = read_label_set(data_dir)
    confusion = ConfusionMatrix(label_set.num_classes)
    for example in read_split(data_dir, "val")[skip:][:limit]:
        image, truth = load_pair(example, label_set.num_classes)
        confusion.add(truth, segment(model, image, **settings))
    return confusion.to_dict(label_set.names)


def assert_scores(scores, expected):
    """Compare the scores of the confusion matrix; the others have tests of their own."""
    flat = [
        {**{name: found[name] for name in expected}, **found["per_class_iou"]}
        for found in (scores, expected)
    ]
    for found in flat:
        del found["per_class_iou"]
        found.pop("settings", None)
    # A last bit of rounding may turn single pixels.
    assert flat[0] == pytest.approx(flat[1], abs=1e-3)


def test_scores_before_and_after_the_crf(model, model_dir, data_dir, tmp_path):
    json_out, panel_out = tmp_path / "new" / "scores.json", tmp_path / "panel.png"
    done = run_tool(
        "evaluate",
        f"--model={model_dir}",
        f"--data_dir={data_dir}",
        f"--json_out={json_out}",
        f"--panel_out={panel_out}",
        "--panel_rows=2",
        *CRF,
    )
    assert done.status == 0, done.err
    scores = json.loads(json_out.read_text())
    after = scores.pop("crf")
    assert scores["settings"] == {
        "split": "val", "skip": 0, "images": 3, "scales": [1], "flip": False, "tile": None,
        "pad_to": None, "precision": None, "crf": asdict(PARAMS),
    }  # fmt: skip
    assert_scores(scores, expected_scores(model, data_dir))
    assert_scores(after, expected_scores(model, data_dir, crf=PARAMS))
    assert abs(after["pixel_accuracy"] - scores["pixel_accuracy"]) > 3e-3
    (line,) = [line for line in done.out.splitlines() if line.startswith("mean IoU")]
    assert line.split()[2:4] == [f"{scores['miou']:.4f}", f"{after['miou']:.4f}"]
    assert "3/3" in done.err and "image/s" in done.err
    assert f"wrote {json_out}, {panel_out}\n" in done.out
    picture = cv2.imread(str(panel_out))
    assert picture.shape[1] == 6 + 4 * (150 + 6)
    assert picture.shape[0] > 2 * (128 + 6)


def test_photos_that_are_stored_lying(model, model_dir, data_dir, tmp_path):
    # As phones store them: the EXIF tag says how viewers turn them, and the labels fit that.
    folder, json_out = shutil.copytree(data_dir, tmp_path / "data"), tmp_path / "scores.json"
    for example, orientation in zip(read_split(folder, "val"), (6, 8, 3), strict=True):
        turns = {6: 1, 8: -1, 3: 2}[orientation]
        lying = np.ascontiguousarray(np.rot90(load_image(example.image), turns))
        Path(example.image).unlink()
        contents = png_with_orientation(png(lying), orientation)
        Path(example.image).with_suffix(".png").write_bytes(contents)
    done = run_tool(
        "evaluate", f"--model={model_dir}", f"--data_dir={folder}", f"--json_out={json_out}"
    )
    assert done.status == 0, done.err
    assert_scores(json.loads(json_out.read_text()), expected_scores(model, data_dir))


def test_settings_reach_the_network(model, model_dir, data_dir, tmp_path):
    json_out = tmp_path / "scores.json"
    done = run_tool(
        "evaluate",
        f"--model={model_dir / 'best.keras'}",
        f"--data_dir={data_dir}",
        "--dataset=synthetic",
        "--limit=2",
        "--scales=1,0.5",
        "--flip",
        "--tile=40",
        "--pad_to=65",
        f"--json_out={json_out}",
    )
    assert done.status == 0, done.err
    settings = {"scales": (1, 0.5), "flip": True, "tile": 40, "pad_to": 65}
    expected = expected_scores(model, data_dir, limit=2, **settings)
    assert_scores(json.loads(json_out.read_text()), expected)
    for name in settings:
        fewer = {key: value for key, value in settings.items() if key != name}
        other = expected_scores(model, data_dir, limit=2, **fewer)
        assert abs(other["pixel_accuracy"] - expected["pixel_accuracy"]) > 1.5e-3, name


@pytest.mark.parametrize("chosen", [{"skip": 1}, {"skip": 1, "limit": 1}, {"skip": 0}])
def test_images_left_out(model, model_dir, data_dir, tmp_path, chosen):
    json_out = tmp_path / "scores.json"
    done = run_tool(
        "evaluate",
        f"--model={model_dir}",
        f"--data_dir={data_dir}",
        f"--json_out={json_out}",
        *(f"--{name}={value}" for name, value in chosen.items()),
    )
    assert done.status == 0, done.err
    scores = json.loads(json_out.read_text())
    assert_scores(scores, expected_scores(model, data_dir, **chosen))
    for other in ({}, {"skip": 1}, {"limit": 1}, {"skip": 1, "limit": 1}):
        if other != {name: value for name, value in chosen.items() if value}:
            differs = expected_scores(model, data_dir, **other)
            assert abs(differs["pixel_accuracy"] - scores["pixel_accuracy"]) > 1e-3


def test_synthetic_data_is_written_on_first_use(tmp_path, model_dir, monkeypatch):
    """Only that it is written: the whole set is too large to score here."""
    data_dir = tmp_path / "first"
    written = []

    def write_small(folder):
        written.append(folder)
        write_synthetic(folder, num_train=1, num_val=1, size=(128, 128))

    monkeypatch.setitem(datasets.SYNTHETIC, "synthetic", write_small)
    done = run_tool(
        "evaluate", f"--model={model_dir}", "--dataset=synthetic", f"--data_dir={data_dir}"
    )
    assert done.status == 0, done.err
    assert written == [str(data_dir)]


def test_rgb_labels_are_read_by_the_colors_of_the_classes(tmp_path):
    label_set = LabelSet(("a", "b"), ((10, 20, 30), (200, 100, 0)))
    data_dir = tmp_path / "data"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (data_dir / folder).mkdir(parents=True)
    truth = np.random.default_rng(0).integers(0, 2, (9, 9))
    colors = np.uint8(label_set.colors)[truth]
    cv2.imwrite(str(data_dir / "SegmentationClass" / "x.png"), colors[..., ::-1])
    cv2.imwrite(str(data_dir / "JPEGImages" / "x.png"), colors)
    (data_dir / "ImageSets" / "Segmentation" / "val.txt").write_text("x\n")
    (data_dir / "classes.txt").write_text("a 10 20 30\nb 200 100 0\n")
    random_model(2).save(tmp_path / "best.keras")
    json_out = tmp_path / "scores.json"
    done = run_tool(
        "evaluate", f"--model={tmp_path}", f"--data_dir={data_dir}", f"--json_out={json_out}"
    )
    assert done.status == 0, done.err
    assert set(json.loads(json_out.read_text())["per_class_iou"]) == {"a", "b"}


def unlabelled(data_dir, folder):
    """A data set without labels, of one list, test."""
    shutil.copytree(data_dir, folder)
    shutil.rmtree(folder / "SegmentationClass")
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "val.txt").rename(lists / "test.txt")
    return folder


@pytest.mark.parametrize("crf", [[], CRF])
def test_predictions_are_written(model, model_dir, data_dir, tmp_path, crf):
    out = tmp_path / "new" / "out"
    tool = [f"--model={model_dir}", f"--data_dir={data_dir}", f"--predictions_out={out}", *crf]
    done = run_tool("evaluate", *tool, "--limit=2")
    assert done.status == 0, done.err
    assert f"predictions: {out}\n" in done.out and "mean IoU" in done.out
    examples = read_split(data_dir, "val")[:2]
    assert sorted(path.name for path in out.iterdir()) == [f"{e.name}.png" for e in examples]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    for example in examples:
        expected = segment(model, load_image(example.image), PARAMS if crf else None)
        found = load_label(out / f"{example.name}.png", model.output_shape[-1])
        np.testing.assert_array_equal(found, expected)
    assert "out: exists and is not empty" in run_tool("evaluate", *tool).error
    done = run_tool("evaluate", *tool, "--limit=1", "--overwrite")
    assert done.status == 0, done.err
    assert [path.name for path in out.iterdir()] == [f"{examples[0].name}.png"]


def test_a_split_whose_truth_only_a_server_has(data_dir, tmp_path):
    """Nothing to score: the labels are written as VOC's server takes them, and no table."""
    random_model(21).save(tmp_path / "best.keras")
    folder = unlabelled(data_dir, tmp_path / "data")
    (folder / "classes.txt").unlink()
    tool = [f"--model={tmp_path}", f"--data_dir={folder}", "--split=test", "--limit=1"]
    out = tmp_path / "out"
    done = run_tool("evaluate", *tool, f"--predictions_out={out}", "--server=voc")
    assert done.status == 0, done.err
    assert done.out == (f"predictions: {out}\nnext: tar czf results.tgz -C {out} results\n")
    (example,) = read_split(folder, "test", need_labels=False)[:1]
    path = out / "results/VOC2012/Segmentation/comp6_test_cls" / f"{example.name}.png"
    assert load_label(path, 21).shape == (128, 150)
    error = run_tool("evaluate", *tool).error
    assert f"the images of test in {folder} have no labels to score against" in error
    for flag in ("json_out", "panel_out"):
        given = [f"--predictions_out={tmp_path / 'two'}", f"--{flag}={tmp_path / 'x'}"]
        error = run_tool("evaluate", *tool, *given).error
        assert f"--{flag}: the images of test have no labels" in error
    assert not (tmp_path / "two").exists()


def test_a_single_missing_label_is_named(model_dir, data_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    label = read_split(copy, "val")[1].label
    Path(label).unlink()
    error = run_tool("evaluate", f"--model={model_dir}", f"--data_dir={copy}").error
    assert error.startswith(f"error: {label}: no such label")


def test_predictions_appear_complete_or_not_at_all(model_dir, data_dir, tmp_path):
    copy, out = tmp_path / "copy", tmp_path / "runs" / "out"
    shutil.copytree(data_dir, copy)
    image = Path(read_split(copy, "val")[2].image)
    image.write_bytes(image.read_bytes()[:300])
    done = run_tool(
        "evaluate", f"--model={model_dir}", f"--data_dir={copy}", f"--predictions_out={out}"
    )
    assert f"{image}: cannot be read" in done.error
    assert list(out.parent.iterdir()) == []


def test_number_of_classes_must_agree(data_dir, tmp_path):
    random_model(VOC.num_classes).save(tmp_path / "best.keras")
    done = run_tool("evaluate", f"--model={tmp_path}", f"--data_dir={data_dir}")
    assert "has 21 classes but the data set" in done.error


def test_classes_of_other_names_are_worth_a_warning(model, data_dir, tmp_path):
    model.save(tmp_path / "best.keras")
    label_set, labels = read_label_set(data_dir), tmp_path / "labels.json"
    names = list(label_set.names)
    evaluate = ["evaluate", f"--model={tmp_path}", f"--data_dir={data_dir}", "--limit=1"]
    for written in (label_set, LabelSet.generic(len(names)), None):
        labels.unlink(missing_ok=True) if written is None else written.save(labels)
        assert "warning" not in run_tool(*evaluate).out
    names[2], names[4] = names[4], names[2]
    LabelSet(names, label_set.colors).save(labels)
    done = run_tool(*evaluate)
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if "warning" in line]
    assert line.startswith(f"warning: class 2 is {names[2]!r} in the model {tmp_path} but")
    assert f"{label_set.names[2]!r} in the data set {data_dir};" in line


@pytest.mark.parametrize("flag", ["json_out", "panel_out"])
def test_a_folder_for_a_file_is_refused(model_dir, data_dir, tmp_path, flag):
    done = run_tool(
        "evaluate", f"--model={model_dir}", f"--data_dir={data_dir}", f"--{flag}={tmp_path}"
    )
    assert done.error == f"error: {tmp_path}: is a folder; give the name of a file"
    assert done.out == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split=test"], "test.txt: no such list"),
        (["--data_dir=nowhere"], "nowhere: no such folder"),
        (["--model=nowhere"], "nowhere"),
        (["--skip=3"], "--skip=3: val has only 3 images"),
        (["--scales=1,x"], "--scales=1,x"),
        (["--scales=0"], "--scales=0; give numbers above 0"),
        (["--tile=9"], "tile 9"),
        (["--server=voc"], "--server has no effect without --predictions_out"),
        (["--overwrite"], "--overwrite has no effect without --predictions_out"),
        (["--server=voc", "--predictions_out=x"], "the server voc takes 21 classes, but"),
        (["--crf", "--crf_sigma_beta=0"], "sigma_beta"),
        (["--crf", "--crf_sigma_beta=1e-30"], "crf: the sigmas are too small"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_bad_input_is_one_clear_line(model_dir, data_dir, flags, message, tmp_path):
    json_out = tmp_path / "scores.json"
    done = run_tool(
        "evaluate",
        f"--model={model_dir}",
        f"--data_dir={data_dir}",
        f"--json_out={json_out}",
        *flags,
    )
    assert message in done.error
    assert not json_out.exists()


def test_a_wrong_label_names_its_file(model_dir, data_dir, tmp_path):
    copy = tmp_path / "copy"
    write_synthetic(copy, num_train=1, num_val=1, size=(128, 128))
    (label,) = [e.label for e in read_split(copy, "val")]
    cv2.imwrite(label, np.full((128, 128), 77, np.uint8))
    done = run_tool("evaluate", f"--model={model_dir}", f"--data_dir={copy}")
    assert f"{label}: label value 77" in done.error


def evaluate_as_workers(*arguments):
    """Run evaluate as two workers; how the chief ended, and the other."""
    command = [TOOLS / "evaluate.py", "--strategy=multi_worker", *arguments]
    with running(command) as processes:
        return [ended(process, seconds=300) for process in processes]


@pytest.mark.slow
def test_two_workers_find_what_one_does(model_dir, data_dir, tmp_path):
    """Of three images the chief has two, and the other worker one."""
    tool = [f"--model={model_dir}", f"--data_dir={data_dir}", *CRF]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        arguments = [*tool, f"--json_out={folder}.json", f"--predictions_out={folder}"]
        arguments.append(f"--report_out={folder}_report")
        if folder == folders[0]:
            done = run_tool("evaluate", *arguments)
            assert done.status == 0, done.err
        else:
            chief, other = evaluate_as_workers(*arguments)
    assert (chief.status, other.status) == (0, 0), (chief, other)
    assert "mean IoU" in chief.out and "2/2" in chief.err
    assert other.out == "" and "image/s" not in other.err
    scores = [json.loads(Path(f"{folder}.json").read_text()) for folder in folders]
    sums = []  # of floats, whose last bits depend on the order
    for result in (*scores, *(one["crf"] for one in scores)):
        calibration = result["calibration"]
        sums.append([calibration.pop("expected_calibration_error")])
        sums[-1] += [value for value in calibration.pop("confidence") if value is not None]
    assert sums[::2] == [pytest.approx(one) for one in sums[1::2]]
    assert scores[0] == scores[1]
    pages = [Path(f"{folder}_report", "index.html").read_text() for folder in folders]
    pictures = [re.findall(r'src="(data:[^"]*)"', page) for page in pages]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 3 * 5
    names, same = ([path.name for path in sorted(folder.iterdir())] for folder in folders)
    assert names == same and len(names) == 3
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.slow  # what ends the other worker is tested with that of a training
def test_an_image_that_one_worker_cannot_read_ends_both(model_dir, data_dir, tmp_path):
    copy, out = tmp_path / "copy", tmp_path / "runs" / "out"
    shutil.copytree(data_dir, copy)
    image = Path(read_split(copy, "val")[1].image)
    image.write_bytes(image.read_bytes()[:300])
    chief, other = evaluate_as_workers(
        f"--model={model_dir}", f"--data_dir={copy}", f"--predictions_out={out}"
    )
    assert (chief.status, other.status) == (1, 1)
    assert f"{image}: cannot be read" in other.err
    assert "error: another worker has ended" in chief.err
    assert list(out.parent.iterdir()) == []
