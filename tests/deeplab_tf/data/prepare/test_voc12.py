import hashlib
import json
import shutil

import numpy as np
import planted
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle
from tiny_archives import (
    SIZE,
    label_of,
    pack,
    palette_png,
    read_all,
    read_back,
    stripes,
    voc_files,
    write_files,
    write_voc12,
)

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.image_files import decode_image, load_pair
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.voc12 import Voc12
from deeplab_tf.errors import InputError

ARCHIVE = "VOCtrainval_11-May-2012.tar"
NAMES = {
    "train": {"2007_000032": stripes([0, 1, 255, 15]), "2007_000039": stripes([20, 255])},
    # Not in the order of the alphabet: the list counts.
    "val": {"2008_000009": stripes([10, 255, 0]), "2007_000033": stripes([1])},
}
LABELS = {name: label for split in NAMES.values() for name, label in split.items()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Folder of the archive `ARCHIVE` in manual/."""
    folder = tmp_path_factory.mktemp("archive")
    write_voc12(folder / "manual", NAMES)
    return folder


@pytest.fixture
def images(tmp_path, archive):
    """The archive in manual/ of the test's own folder; its images, {name: JPEG bytes}."""
    shutil.copytree(archive, tmp_path, dirs_exist_ok=True)
    return voc_files(NAMES)[1]


@pytest.fixture(scope="module")
def done(archive, tmp_path_factory):
    """A prepared data set that no test may change."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(archive, folder, dirs_exist_ok=True)
    return run(folder)


@pytest.fixture
def earlier(tmp_path, done):
    """A copy of a prepared data set, with its archives; `Prepared`."""
    shutil.copytree(done.folder.parents[2], tmp_path, dirs_exist_ok=True)
    return done._replace(folder=tmp_path / "data" / "voc12" / "1.0.0")


def run(tmp_path, trust_archives=True, **settings):
    folders = (tmp_path / name for name in ("down", "data", "manual"))
    return prepare("voc12", *folders, trust_archives=trust_archives, **settings)


def remains(tmp_path):
    return sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "data").rglob("*"))


def test_records_hold_the_original_images_and_class_indices(done):
    assert done.folder.parts[-3:] == ("data", "voc12", "1.0.0") and done.is_new
    images = voc_files(NAMES)[1]
    assert done.counts == {"train": 2, "val": 2, "trainval": 4}
    for split, examples in NAMES.items():
        records = read_back(done.folder, split)
        assert [record["name"].decode() for record in records] == list(examples)
        for record, (name, label) in zip(records, examples.items(), strict=True):
            assert record["image"] == images[name]
            np.testing.assert_array_equal(label_of(record), label)


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_of_authors_fit_the_pixels_as_stored(tmp_path, orientation):
    # So no reader may turn the image.
    files, images = voc_files({"train": {"a": stripes([0, 1])}, "val": {"b": stripes([2])}})
    turned = planted.with_orientation(images["a"], orientation)
    files["VOCdevkit/VOC2012/JPEGImages/a.jpg"] = turned
    pack(tmp_path / "manual" / ARCHIVE, files)
    run(tmp_path)
    (example,), _ = open_dataset("voc12", tmp_path / "data", "train")
    image, label = load_pair(example, 21)
    np.testing.assert_array_equal(image, decode_image(images["a"]))
    np.testing.assert_array_equal(label, stripes([0, 1]))
    assert example.read()[0] == planted.with_orientation(images["a"], 1)


def test_only_the_files_of_the_data_set_are_there(done):
    names = {path.name.partition(".tfrecord")[0] for path in done.folder.iterdir()}
    described = {"dataset_info.json", "features.json", "metadata.json"}
    assert names == described | {"voc12-train", "voc12-val"}
    assert [path.name for path in done.folder.parent.iterdir()] == ["1.0.0"]


def test_metadata(done):
    metadata = json.loads((done.folder / "metadata.json").read_text())
    assert metadata["classes"] == list(VOC.names)
    assert metadata["colors"][15] == [192, 128, 128] and metadata["void_color"] == [224, 224, 192]
    assert metadata["names"] == {split: list(examples) for split, examples in NAMES.items()}
    assert metadata["lists"] == {"trainval": ["train", "val"]}


def test_opens_as_a_data_set(done):
    examples, label_set = open_dataset("voc12", done.folder.parents[1], "trainval")
    assert [example.name for example in examples] == list(LABELS) and label_set == VOC
    for example in examples:
        image, label = load_pair(example, label_set.num_classes)
        assert image.shape == (*SIZE, 3)
        np.testing.assert_array_equal(label, LABELS[example.name])


# tensorflow-datasets 4.9.9, the last one for Python 3.10, uses a deprecated call of protobuf.
@pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")
def test_plain_tensorflow_datasets_reads_it(done):
    builder = tfds.builder_from_directory(done.folder)
    assert builder.info.splits["train"].num_examples == 2
    found = {
        example["name"].numpy().decode(): example
        for split in ("train", "val")
        for example in builder.as_dataset(split=split)
    }
    assert found.keys() == LABELS.keys()
    for name, example in found.items():
        assert example["image"].shape == (*SIZE, 3)
        np.testing.assert_array_equal(example["label"][..., 0], LABELS[name])


def test_order_if_the_records_do_not_fit_into_memory(tmp_path, monkeypatch):
    buckets = set()
    add = shuffle._Bucket.add
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 2000)
    monkeypatch.setattr(shuffle._Bucket, "add", lambda *call: (buckets.add(call[0]), add(*call)))
    names = [f"name_{index:03d}" for index in np.random.default_rng(0).permutation(70)]
    train = {name: stripes([1, 2]) for name in names}
    write_voc12(tmp_path / "manual", {"train": train, "val": {"last": stripes([1])}})
    records = read_back(run(tmp_path).folder, "train")
    assert [record["name"].decode() for record in records] == names
    assert len(buckets) == 64  # each of them is sorted in memory


def test_a_second_run_reports_that_it_is_done(tmp_path, earlier):
    (tmp_path / "manual" / ARCHIVE).unlink()
    assert run(tmp_path) == earlier._replace(is_new=False)


def test_damaged_data_is_not_taken_for_done(tmp_path, earlier):
    for path in earlier.folder.iterdir():
        contents = path.read_bytes()
        path.write_bytes(contents[:-1]) if "tfrecord" in path.name else path.unlink()
        if path.name != "features.json":  # which only plain tensorflow-datasets reads
            with pytest.raises(InputError, match="prepare the data again with --overwrite"):
                run(tmp_path)
        path.write_bytes(contents)
    assert not run(tmp_path).is_new


def test_overwriting(tmp_path, earlier):
    folder = earlier.folder
    shard = next(folder.glob("*val.tfrecord*"))
    records = read_back(folder, "val")
    shard.write_bytes(b"")

    def stop(data_dir):
        assert shard.read_bytes() == b""  # what was there stays until the new is verified
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        run(tmp_path, verify=stop, overwrite=True)
    assert shard.read_bytes() == b""
    assert run(tmp_path, overwrite=True).is_new
    assert read_back(folder, "val") == records
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]


def test_trusted_archives_are_remembered(tmp_path, earlier):
    metadata = json.loads((earlier.folder / "metadata.json").read_text())
    digest = hashlib.sha256((tmp_path / "manual" / ARCHIVE).read_bytes()).hexdigest()
    assert metadata["trust_archives"] is True
    assert metadata["archives"] == {"voc": f"{ARCHIVE}.{digest[:12]}"}
    message = "was prepared with --trust_archives, which is not given now; give --overwrite"
    with pytest.raises(InputError, match=message):
        run(tmp_path, trust_archives=False)
    write_voc12(tmp_path / "manual", {**NAMES, "val": {"other": stripes([1])}})
    with pytest.raises(
        InputError, match=f"was prepared from {ARCHIVE}.{digest[:12]}, not {ARCHIVE}"
    ):
        run(tmp_path)
    assert run(tmp_path, overwrite=True).counts["val"] == 1


def test_metadata_of_another_origin(tmp_path, earlier):
    path = earlier.folder / "metadata.json"
    metadata = json.loads(path.read_text())
    for change in ({"options": None}, {"archives": []}):
        path.write_text(json.dumps({**metadata, **change}))
        with pytest.raises(
            InputError, match="does not say what it was made from; give --overwrite"
        ):
            run(tmp_path)


@pytest.mark.parametrize("folder, step", [("down", "unpacked"), ("data", "write_records")])
def test_a_full_disk(tmp_path, images, monkeypatch, folder, step):
    def write(*arguments):
        text = "Failed to finalize writing; No space left on device"  # as it was seen
        raise RuntimeError(f"ResourceExhaustedError: {text}") from None

    monkeypatch.setattr(f"deeplab_tf.data.prepare.run.{step}", write)
    assert_refused(tmp_path, f"{folder}: its disk is full; make room there, or give another --")


def test_a_run_after_a_stopped_one_uses_what_is_extracted(tmp_path, images):
    def stop(data_dir):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, verify=stop)
    assert remains(tmp_path) == []
    (image,) = (tmp_path / "down").rglob("2007_000032.jpg")
    marked = image.read_bytes() + b"mark"
    image.write_bytes(marked)
    assert read_back(run(tmp_path).folder, "train")[0]["image"] == marked


def test_remains_of_a_killed_run_are_deleted(tmp_path, images):
    left = tmp_path / "data" / "voc12" / "1.0.0.abc.partial" / "voc12"
    left.mkdir(parents=True)
    run(tmp_path)
    assert [path.name for path in (tmp_path / "data" / "voc12").iterdir()] == ["1.0.0"]


def test_verify_sees_the_data_set_before_it_has_its_name(tmp_path, images):
    seen = []

    def verify(data_dir):
        assert not (tmp_path / "data" / "voc12" / "1.0.0").exists()
        seen.extend(example.name for example in open_dataset("voc12", data_dir, "train")[0])

    run(tmp_path, verify=verify)
    assert seen == list(NAMES["train"])


def test_what_verify_refuses_is_deleted(tmp_path, images):
    def verify(data_dir):
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        run(tmp_path, verify=verify)
    assert remains(tmp_path) == []


def assert_refused(tmp_path, message, **settings):
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert remains(tmp_path) == [] and not (tmp_path / "data").exists()


def test_another_archive_than_the_original(tmp_path, images):
    assert_refused(tmp_path, f"{ARCHIVE}: .* bytes, but the original has", trust_archives=False)


def test_a_cut_off_archive(tmp_path, images):
    path = tmp_path / "manual" / ARCHIVE
    path.write_bytes(path.read_bytes()[:3000])
    assert_refused(tmp_path, f"{ARCHIVE}: cut off or damaged")
    assert not (tmp_path / "down").exists()


ROOT = "VOCdevkit/VOC2012"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JPEGImages/2007_000039.jpg": None}, "2007_000039.jpg: no such image"),
        ({"JPEGImages/2007_000039.jpg": b"\xff\xd8"}, "2007_000039.jpg: cannot be read"),
        ({"SegmentationClass/2007_000039.png": None}, "2007_000039.png: no such label"),
        (
            {"SegmentationClass/2007_000039.png": palette_png(stripes([21]))},
            "2007_000039.png: label value 21 but only 21 classes",
        ),
        (
            {"SegmentationClass/2007_000039.png": palette_png(stripes([1], (8, 8)))},
            r"2007_000039.png: label uint8 \(8, 8\) but the image .* is \(24, 32\)",
        ),
        ({"ImageSets/Segmentation/val.txt": None}, "val.txt: no such list"),
    ],
)
def test_errors_in_the_archive(tmp_path, changes, message):
    files = {**voc_files(NAMES)[0], **{f"{ROOT}/{name}": data for name, data in changes.items()}}
    write_files(tmp_path, {name: data for name, data in files.items() if data is not None})
    with pytest.raises(InputError, match=message) as caught:
        read_all(Voc12("voc12"), {"voc": tmp_path})
    assert "\n" not in str(caught.value)


def test_an_image_in_two_splits(tmp_path):
    files = voc_files(NAMES)[0] | {f"{ROOT}/ImageSets/Segmentation/val.txt": "2007_000039\n"}
    pack(tmp_path / "manual" / ARCHIVE, files)
    assert_refused(tmp_path, "'2007_000039' is in 'train' and again in 'val'")


def test_other_numbers_than_the_original(tmp_path, images, monkeypatch):
    digest = hashlib.sha256((tmp_path / "manual" / ARCHIVE).read_bytes()).hexdigest()
    original = Archive(ARCHIVE, checksum=f"sha256:{digest}")
    monkeypatch.setattr(Voc12, "archives", {"voc": original})
    assert_refused(tmp_path, "2 images in 'train', but the original has 1464", trust_archives=False)
    monkeypatch.setattr(Voc12, "expected", {"train": 2, "val": 2})
    assert run(tmp_path, trust_archives=False).counts["train"] == 2


def test_unknown_names(tmp_path):
    with pytest.raises(InputError, match="unknown dataset 'voc13'; available: voc12, "):
        prepare("voc13", tmp_path, tmp_path)
    with pytest.raises(InputError, match="--min_pixels: voc12 has no such option; it has none"):
        prepare("voc12", tmp_path, tmp_path, options={"min_pixels": 1})
