from pathlib import Path

import pytest
import tensorflow as tf

from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.errors import InputError

CONTENTS = [(b"first", b"image 0", b"label 0"), (b"second", b"image one", b"label 1")]


@pytest.fixture
def files(tmp_path):
    examples = []
    for name, image, label in CONTENTS:
        example = Example(name.decode(), f"{tmp_path}/{name}.jpg", f"{tmp_path}/{name}.png")
        Path(example.image).write_bytes(image)
        Path(example.label).write_bytes(label)
        examples.append(example)
    return examples


@pytest.fixture
def records(tmp_path):
    path, offset, examples = str(tmp_path / "a.tfrecord"), 0, []
    with tf.io.TFRecordWriter(path) as writer:
        for contents in CONTENTS:
            record = tf.train.Example()
            for key, value in zip(("name", "image", "label"), contents, strict=True):
                record.features.feature[key].bytes_list.value.append(value)
            data = record.SerializeToString()
            writer.write(data)
            examples.append(RecordExample(contents[0].decode(), path, offset + 12, len(data)))
            offset += len(data) + 16
    return examples


@pytest.mark.parametrize("kind", ["files", "records"])
def test_both_kinds_give_the_same_contents(kind, request):
    examples = request.getfixturevalue(kind)
    assert [(e.name.encode(), *e.read()) for e in examples] == CONTENTS


def test_an_example_without_label_reads_as_empty(files):
    assert files[0]._replace(label="").read() == (b"image 0", b"")


def test_missing_files_are_named(files, records):
    with pytest.raises(InputError, match=r"absent.jpg: No such file or directory; check the path"):
        files[0]._replace(image="absent.jpg").read()
    with pytest.raises(InputError, match=r"absent: No such file or directory; check the path"):
        records[0]._replace(path="absent").read()


def test_a_wrong_offset_is_no_record(records):
    with pytest.raises(
        InputError, match=r"record of 'second' is damaged; prepare the data again with"
    ):
        records[1]._replace(offset=records[1].offset - 9).read()
