import numpy as np
from absl import flags
from tiny_model import random_model

from deeplab_tf.commands.agreement import checksum, run_facts
from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.data.label_spaces import HeadsExample
from deeplab_tf.labels import LabelSet

LABELS = LabelSet.generic(3)


def examples_in(folder, sizes):
    """One example for each size of its image in bytes; the labels have one byte."""
    folder.mkdir()
    found = []
    for name, size in sizes.items():
        image, label = folder / f"{name}.jpg", folder / f"{name}.png"
        image.write_bytes(bytes(size))
        label.write_bytes(b"1")
        found.append(Example(name, str(image), str(label)))
    return found


def test_the_checksum_is_of_names_and_sizes_not_of_the_folder(tmp_path):
    first = checksum(examples_in(tmp_path / "a", {"x": 5, "y": 6}))
    assert checksum(examples_in(tmp_path / "b", {"x": 5, "y": 6})) == first
    assert checksum(examples_in(tmp_path / "c", {"x": 5, "z": 6})) != first
    assert checksum(examples_in(tmp_path / "d", {"x": 5, "y": 7})) != first
    assert checksum(examples_in(tmp_path / "e", {"y": 6, "x": 5})) != first


def test_records_count_by_their_size_and_missing_files_are_no_error():
    records = [RecordExample("x", "a.tfrecord", 12, 99)]
    assert checksum(records) == checksum([RecordExample("x", "/b/a.tfrecord", 12, 99)])
    assert checksum(records) != checksum([RecordExample("x", "a.tfrecord", 12, 98)])
    assert checksum([Example("x", "missing.jpg", "")]) == checksum([Example("x", "a\0b", "")])


def test_the_labels_of_every_head_count(tmp_path):
    (first,), (other,) = (examples_in(tmp_path / name, {"x": 5}) for name in "ab")

    def both(second):
        return checksum([HeadsExample((first, second), (3, 2), (None, None))])

    before = both(other)
    assert both(first) == before  # a label of the same size
    (tmp_path / "b" / "x.png").write_bytes(b"22")
    assert both(other) != before
    records = [RecordExample("x", "a.tfrecord", 12, size) for size in (98, 99)]
    one, two = (checksum([HeadsExample((record,), (3,), (None,))]) for record in records)
    assert one != two


def test_a_missing_label_is_not_the_folder_in_which_a_worker_was_started(tmp_path, monkeypatch):
    unlabeled = [Example("x", "missing.jpg", "")]
    before = checksum(unlabeled)
    monkeypatch.chdir(tmp_path)
    for number in range(300):  # so that the folder has another size
        (tmp_path / f"{number:0100}").touch()
    assert checksum(unlabeled) == before


def parsed(*arguments):
    values = flags.FlagValues()
    for name in ("data_dir", "model_dir", "weights", "json_out", "trimap_out", "num_threads"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    flags.DEFINE_float("learning_rate", 0.1, "", flag_values=values)
    values(["train", *arguments])
    return values


def test_flags_of_paths_and_of_the_machine_may_differ():
    one = run_facts(parsed("--data_dir=/a", "--weights=/w", "--num_threads=1"), {}, LABELS)
    two = run_facts(
        parsed("--data_dir=/b", "--model_dir=/m", "--json_out=f", "--trimap_out=t"), {}, LABELS
    )
    other = run_facts(parsed("--learning_rate=0.2"), {}, LABELS)
    assert one == two
    assert one["--learning_rate"] == "0.1" and other["--learning_rate"] == "0.2"
    assert one["the classes"] == ", ".join(LABELS.names)


def test_lists_and_weights_are_facts(tmp_path):
    examples = examples_in(tmp_path / "a", {"x": 5})
    facts = run_facts(parsed(), {"val": examples}, LABELS, random_model())
    assert facts["the list val"] == f"1 images, checksum {checksum(examples):08x}"
    assert facts == run_facts(parsed(), {"val": examples}, LABELS, random_model())
    changed = random_model()
    changed.set_weights([weights + np.float32(1) for weights in changed.get_weights()])
    name = "the weights of --model"
    assert run_facts(parsed(), {}, LABELS, changed)[name] != facts[name]
    assert name not in run_facts(parsed(), {}, LABELS)
