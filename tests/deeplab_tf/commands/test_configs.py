"""Every flagfile in configs/ has known flags, builds and trains; the table is right."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from absl import flags
from tool_runner import run_tool

from deeplab_tf import build_fcn
from deeplab_tf.commands import configs, train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data.datasets import LABEL_SETS
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.synthetic_depth import write_synthetic_depth
from deeplab_tf.data.synthetic_heads import write_synthetic_heads
from deeplab_tf.models.backbones import ImagePreprocessing, find_backbone
from deeplab_tf.training.freezing import train_only

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


@pytest.fixture(scope="module")
def depth_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic_depth"
    write_synthetic_depth(folder, num_train=4, num_val=2, size=(128, 128))
    return folder


@pytest.fixture(scope="module")
def heads_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic_heads"
    write_synthetic_heads(folder, num_train=4, num_val=2, size=(128, 128))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_trains_two_steps(path, data_dir, depth_dir, heads_dir, tmp_path):
    dataset, heads = "synthetic", []
    if "--heads=" in path.read_text():
        dataset, data_dir, heads = "synthetic_heads", heads_dir, ["--heads=form:7,shade:3"]
    if "--input=" in path.read_text() or "--objective=depth" in path.read_text():
        dataset, data_dir = "synthetic_depth", depth_dir
    tiny = [f"--dataset={dataset}", "--train_split=train", "--steps=2", "--eval_images=0"]
    tiny += [*heads, "--weights=none", "--batch_size=1", "--accumulate=1", "--crop_size=65"]
    if "--shared_classes" in path.read_text():
        tiny += ["--noshared_classes"]  # of the weights that are left out
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


def test_tables_of_other_metrics_agree_with_the_flagfiles():
    text = (ROOT / "docs" / "systems.md").read_text().split("| configuration | data |")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    found = {row[1]: row[4] for row in rows if len(row) == 7 and row[1].startswith(("voc_", "nyu"))}
    assert len(found) == 9
    for name, mean_iou in found.items():
        assert configs.published((ROOT / "configs" / f"{name}.flags").read_text())[0] == mean_iou


def test_the_table_lists_what_is_published(tmp_path):
    for name in ("voc_vgg16_7x7", "voc_vgg16_aspp_l", "demo"):
        shutil.copy(ROOT / "configs" / f"{name}.flags", tmp_path)
    assert configs.table(tmp_path).splitlines() == [
        "| configuration | data | network | parameters | mean IoU | with the CRF | test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| voc_vgg16_7x7 | voc12_aug | vgg16, 7x7 | 134,346,581 | 64.38 | 67.64 |  |",
        "| voc_vgg16_aspp_l | voc12_aug | vgg16, aspp_l | 37,877,652 | 68.96 | 71.57 "
        "| 72.6 with the CRF |",
    ]


@pytest.mark.parametrize("words", [["configs"], ["train", "--list_configs"]])
def test_the_table_is_printed(monkeypatch, words):
    monkeypatch.setattr(configs, "table", lambda: "the table")
    table, others = run_tool(*words).out.split("\n\n")
    assert table == "the table"
    # With those of the table, these are all names that --flagfile takes.
    assert others == (
        "other flagfiles: camvid_ablation, camvid_efficientnetlite0, camvid_small, "
        "camvid_small_crf, camvid_vgg16_large_fov, demo, demo_crf, "
        "msrc21_ablation, msrc21_efficientnetlite0, msrc21_mil, msrc21_vgg16_large_fov, "
        "own_photos, synthetic_classifier, synthetic_depth, synthetic_em_adapt, "
        "synthetic_heads, "
        "synthetic_mil\n"
    )


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


# The figures that the papers give, val before and after the CRF and test.
FIGURES = {
    "voc_fcn32s_fixed": ("45.4", "", ""),
    "voc_fcn32s": ("59.4", "", ""),
    "voc_fcn32s_alexnet": ("39.8", "", ""),
    "voc_fcn32s_googlenet": ("42.5", "", ""),
    "voc_fcn8s_at_once": ("65.4", "", ""),
    "voc_fcn16s": ("62.4", "", ""),
    "voc_fcn8s": ("62.7", "", "62.7 (VOC 2011), 62.2 (VOC 2012)"),
    "voc_fcn32s_mil": ("25.05", "", "25.66 (VOC 2012)"),
    "nyudv2_fcn32s": ("29.2", "", ""),
    "nyudv2_fcn32s_rgbd": ("30.5", "", ""),
    "nyudv2_fcn32s_hha": ("24.2", "", ""),
    "nyudv2_fcn32s_rgb_hha": ("32.8", "", ""),
    "nyudv2_fcn16s_rgb_hha": ("34.0", "", ""),
    "siftflow_fcn16s": ("39.5", "", ""),
    "voc_vgg16_large_fov_v1": ("62.25", "67.64", "70.3 with the CRF"),
    "voc_vgg16_msc_large_fov": ("", "", "71.6 with the CRF"),
    "voc_vgg16_large_fov_coco": ("", "", "72.7 with the CRF"),
    "voc_vgg16_aspp_l": ("68.96", "71.57", "72.6 with the CRF"),
    "voc_resnet101_aspp_l": ("76.35", "77.69", "79.7 with the CRF"),
    "voc_mobilenetv2_v3_mobile": ("75.32", "", ""),
    "voc_xception65_v3plus": ("82.20", "", ""),
    "cityscapes_mobilenetv2_v3_mobile": ("70.71", "", ""),
    "cityscapes_xception65_v3plus": ("78.79", "", ""),
}


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures(name):
    text = (ROOT / "configs" / f"{name}.flags").read_text()
    assert configs.published(text) == FIGURES[name]


def test_fcn_and_mil_are_of_voc_2011_nyu_depth_and_sift_flow():
    for path in CONFIGS:
        settings = configs.read_settings(path.read_text())
        is_fcn = settings.get("network") == "fcn"
        assert is_fcn == (settings["dataset"] in ("voc11_sbd", "nyudv2", "siftflow")), path
        if settings["dataset"] == "voc11_sbd":
            assert "train_split" not in settings  # the list "train"


def test_inputs_of_nyu_depth_say_where_they_depart():
    files = sorted(ROOT.glob("configs/nyudv2_*.flags"))
    assert len(files) == 6
    for path in files:
        text, settings = path.read_text(), configs.read_settings(path.read_text())
        assert "the mean of ImageNet" in text or "hha" in settings["input"], path
        if path.stem in ("nyudv2_fcn32s_hha", "nyudv2_fcn32s_rgb_hha"):
            assert "132.431, 94.076,\n# 118.477" in text or "132.431, 94.076, 118.477" in text
    # What they and docs/depth.md say of the preprocessing.
    levels = np.array([[[[200.0, 100.0, 50.0]]]])  # of red, green, blue or disparity, height, angle
    found = np.array(ImagePreprocessing("caffe")(levels)).ravel()
    np.testing.assert_allclose(found, [50 - 103.939, 100 - 116.779, 200 - 123.68], rtol=1e-6)
    assert find_backbone("vgg16").preprocessing == "caffe"


def test_scales_are_augmented_where_the_papers_do():
    augmented = set()
    for path in CONFIGS:
        text = path.read_text()
        settings = configs.read_settings(text)
        if settings["scale_low"] != settings["scale_high"]:
            augmented.add(path.stem)
        if settings["backbone"] == "vgg16" and "deeplab" in settings.get("network", "deeplab"):
            assert "em_adapt" in path.stem or "scale augmentation is published for" in text, path
    assert augmented == {
        "coco_resnet101",
        "cityscapes_mobilenetv2_v3_mobile",
        "cityscapes_resnet101_aspp_l_aug",
        "cityscapes_xception65_v3plus",
        "context_resnet101_aspp_l",
        "context_resnet101_msc_coco_aug",
        "nyudv2_fcn8s_depth",
        "person_part_resnet101_aspp_l",
        "person_part_resnet101_large_fov",
        "person_part_resnet101_msc_coco_aug",
        "voc_mobilenetv2_v3_mobile",
        "voc_resnet101_aspp_l",
        "voc_resnet101_large_fov",
        "voc_resnet101_msc_coco_aug",
        "voc_xception65_v3plus",
    }


def test_fcn_32s_fixed_trains_the_class_layer_alone():
    text = (ROOT / "configs" / "voc_fcn32s_fixed.flags").read_text()
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        model = build_fcn("vgg16", 32, weights=None)
        assert train_only(model, configs.read_settings(text)["train_layers"]) == ["score_fc7"]
        paths = [variable.path for variable in model.trainable_variables]
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    assert paths == ["score_fc7/kernel", "score_fc7/bias"]
