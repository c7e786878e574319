"""The worker of `predict --runner=ray` in this process: batches, rows and failures."""

import cv2
import numpy as np
import pytest
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf import segment
from deeplab_tf.data.image_files import load_label
from deeplab_tf.evaluation.inference import predict_batch, predict_probabilities
from deeplab_tf.labels import LabelSet
from deeplab_tf.scale.inputs import open_inputs
from deeplab_tf.scale.labeler import Labeler, LabelJob, Loaded, by_size
from deeplab_tf.scale.table import forget_failures, read_parts, schema

pytest.importorskip("pyarrow", reason='needs pip install ".[ray]"')

LABELS = LabelSet.generic(4)
PLAIN = {"scales": (1.0,), "flip": False, "tile": None, "pad_to": None}


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = blocks(40 + number % 2, 61, seed=number)
        cv2.imwrite(str(folder / f"{number}.png"), pixels[..., ::-1])
    (folder / "4.png").write_bytes(b"")
    return folder


def label(model, tmp_path, photos, **changes):
    job = LabelJob(
        str(tmp_path / "out"), LABELS.names, LABELS.color_table(), 3, PLAIN
    )._replace(**changes)  # fmt: skip
    worker = Labeler(None, job, version=None)
    worker.model = model
    items = [item for source in open_inputs([photos], job.out_dir) for item in source.items()]
    failed = worker.work(("0001-00000000", items))
    ((name, table),) = read_parts(job.out_dir, with_labels=True)
    assert name == "0001-00000000"
    return failed, table.to_pylist()


def loaded(height, width, name=""):
    return Loaded(None, name, (height, width), np.zeros((height, width, 3), np.uint8))


def test_images_of_one_size_are_gathered():
    small, wide, bad = loaded(2, 2), loaded(2, 5), Loaded(None, "", error="damaged")
    mixed = [small, wide, small, bad, small, wide]
    sizes = [[one.size for one in group] for group in by_size(mixed, 2)]
    assert sizes == [[(2, 2)] * 2, [()], [(2, 5)] * 2, [(2, 2)]]
    assert [len(group) for group in by_size(mixed, 1)] == [1] * 6
    assert sum(len(group) for group in by_size(mixed, 100)) == 6
    # At most 14 pixels wait for others; the third image is one too many.
    kept = [[one.size for one in group] for group in by_size(mixed, 100, pixels=14)]
    assert kept == [[(2, 2)] * 2, [()], [(2, 5)] * 2, [(2, 2)]]


def test_a_batch_gives_what_single_images_give(model):
    images = np.stack([blocks(33, 50, seed=seed) for seed in range(3)])
    settings = {"scales": (1, 0.5), "flip": True, "pad_to": 60}
    singles = [predict_probabilities(model, image, **settings) for image in images]
    np.testing.assert_allclose(predict_batch(model, images, **settings), singles, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_labels_and_rows(model, photos, tmp_path, batch):
    params = CRFParams(iterations=2)
    failed, rows = label(model, tmp_path, photos, params=params, batch=batch)
    assert [row["image"] for row in rows] == [f"{number}.png" for number in range(6)]
    ((image, reason),) = failed
    assert image == "4.png" and reason == "4.png: cannot be read: empty file; replace it"
    assert rows[4]["error"] == reason and rows[4]["label_file"] is None
    for number in (0, 1, 2, 3, 5):
        pixels, row = blocks(40 + number % 2, 61, seed=number), rows[number]
        expected = segment(model, pixels, params)
        found = load_label(tmp_path / "out" / row["label_file"], 4)
        assert (found == expected).mean() > (0.999 if batch > 1 else 0.9999999)
        assert (row["height"], row["width"]) == (40 + number % 2, 61) and row["error"] is None
        counts = np.bincount(found.ravel(), minlength=4)
        assert list(row["areas"].values()) == counts.tolist()
        probabilities = segment(model, pixels, params, return_probabilities=True)
        assert row["confidence"] == pytest.approx(probabilities.max(-1).mean(), abs=1e-5)
        assert row["source"] == f"{photos}/{number}.png" and row["note"] is None


def test_labels_in_the_table_of_reduced_images(model, photos, tmp_path):
    _, rows = label(model, tmp_path, photos, max_side=30, in_table=True)
    (tmp_path / "label.png").write_bytes(rows[0]["label_png"])
    expected = segment(model, blocks(40, 61, seed=0), max_side=30)
    np.testing.assert_array_equal(load_label(tmp_path / "label.png", 4), expected)
    assert rows[0]["note"] == "scored at 30x20 pixels"
    assert not list((tmp_path / "out").rglob("*.png"))


def test_what_the_network_refuses_is_a_row(model, photos, tmp_path):
    failed, rows = label(model, tmp_path, photos, settings={**PLAIN, "tile": 3})
    assert len(failed) == 6 and rows[0]["error"].startswith("0.png: tile 3; this model needs")


def test_failures_are_forgotten_to_be_tried_again(model, photos, tmp_path):
    label(model, tmp_path, photos)
    forget_failures(str(tmp_path / "out"), schema(LABELS.names, False))
    ((_, table),) = read_parts(str(tmp_path / "out"))
    assert table["image"].to_pylist() == ["0.png", "1.png", "2.png", "3.png", "5.png"]
