"""The whole way from the authors' archives, here tiny ones, to a trained and scored network."""

import json

import numpy as np
import pytest
from tiny_archives import gradient, jpeg, write_sbd, write_voc12
from tool_runner import run_tool

from deeplab_tf.data.label_sets import VOC
from deeplab_tf.labels import VOID, LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def label(seed):
    """A label map of blocks of all classes."""
    blocks = np.random.default_rng(seed).integers(0, VOC.num_classes, (6, 8))
    return np.kron(blocks, np.ones((4, 4))).astype(np.uint8)


def with_void(pixels):
    """The same with a line of void, which VOC's labels have and SBD's have not."""
    pixels[len(pixels) // 2] = VOID
    return pixels


@pytest.mark.slow
def test_from_archives_to_a_score(tmp_path):
    manual, data, model = tmp_path / "manual", tmp_path / "data", tmp_path / "model"
    a, b, c = (with_void(label(seed)) for seed in range(3))
    write_voc12(manual, {"train": {"a": a, "b": b}, "val": {"c": c}})
    write_sbd(manual, {"d": label(3)}, train=["d"], images={"d": jpeg(gradient(9))})
    place = f"--data_dir={data}"
    archives = f"--manual_dir={manual}", f"--download_dir={tmp_path / 'down'}", "--trust_archives"
    done = run_tool("prepare_data", "--dataset=voc12_aug", place, *archives)
    assert done.status == 0, done.err
    done = run_tool("check_data", "--dataset=voc12_aug", place, "--splits=train_aug,val")
    assert done.status == 0, done.err
    done = run_tool(
        "train", "--dataset=voc12_aug", "--train_split=train_aug", place, f"--model_dir={model}",
        "--backbone=vgg16", "--head=large_fov", "--fc_channels=8", "--weights=none", "--steps=2",
        "--batch_size=3", "--crop_size=33", "--eval_images=1",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "step 2: mean IoU on 1 of the 1 images of val" in done.out
    assert LabelSet.load(model / "labels.json") == VOC
    scores = tmp_path / "scores.json"
    done = run_tool(
        "evaluate", f"--model={model}", "--dataset=voc12_aug", place, "--crf",
        "--crf_iterations=1", f"--json_out={scores}",
    )  # fmt: skip
    assert done.status == 0, done.err
    content = json.loads(scores.read_text())
    assert set(content["per_class_iou"]) == set(VOC.names) and "crf" in content
