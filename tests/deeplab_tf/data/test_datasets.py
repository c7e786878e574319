import pytest

from deeplab_tf.data.datasets import DATASETS, PREPARED, find_builder, open_dataset
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.synthetic import CLASSES, write_synthetic
from deeplab_tf.errors import InputError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data") / "shapes"
    write_synthetic(data_dir, num_train=3, num_val=2)
    return data_dir


@pytest.mark.parametrize("dataset", ["voc", "synthetic"])
def test_opens_examples_and_classes_of_a_split(data_dir, dataset):
    examples, labels = open_dataset(dataset, data_dir, "train")
    assert [example.name for example in examples] == ["train_0000", "train_0001", "train_0002"]
    assert labels.names == CLASSES
    assert len(open_dataset(dataset, data_dir, "val")[0]) == 2


def test_synthetic_is_written_on_first_use(monkeypatch, tmp_path):
    written = []

    def write(data_dir):
        written.append(data_dir)
        write_synthetic(data_dir, num_train=2, num_val=1)

    monkeypatch.setattr("deeplab_tf.data.synthetic.write_synthetic", write)
    for _ in range(2):
        assert len(open_dataset("synthetic", tmp_path / "new", "train")[0]) == 2
    assert written == [tmp_path / "new"]


def test_voc_is_never_written(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        open_dataset("voc", tmp_path / "nowhere", "train")


def test_labels_are_needed_by_default(data_dir):
    label = data_dir / "SegmentationClass" / "val_0001.png"
    contents = label.read_bytes()
    label.unlink()
    try:
        with pytest.raises(InputError, match="val_0001"):
            open_dataset("voc", data_dir, "val")
        examples, _ = open_dataset("voc", data_dir, "val", need_labels=False)
        assert examples[1].label == ""
    finally:
        label.write_bytes(contents)


def test_an_unknown_name_lists_the_available_ones(tmp_path):
    with pytest.raises(InputError, match="unknown dataset 'coco'; available: voc, synthetic, "):
        open_dataset("coco", tmp_path, "train")
    with pytest.raises(InputError, match="unknown dataset 'voc'; available: voc12, "):
        find_builder("voc")


@pytest.mark.parametrize("name", PREPARED)
def test_every_prepared_data_set_has_a_builder(name):
    builder = find_builder(name)
    assert issubclass(builder, Builder)
    assert builder.__module__ == f"deeplab_tf.data.prepare.{name}"
    # A builder has the classes of the table, or reads them from files.
    assert (DATASETS[name].label_set is None) == (builder.label_set is not Builder.label_set)


def test_camvid_opens(camvid):
    examples, labels = open_dataset("voc", camvid, "val")
    assert (len(examples), labels.num_classes) == (101, 11)
