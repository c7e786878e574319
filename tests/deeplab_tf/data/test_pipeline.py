import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.pipeline import input_error_from, training_batches
from deeplab_tf.data.voc import read_split
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB, LabelEncoding, voc_colors

COUNT = 7


@pytest.fixture
def examples(tmp_path):
    """Seven PNG images of 6x8; image n has n in red, the label in green, and label n % 3."""
    made = []
    for number in range(COUNT):
        label = np.full((6, 8), number % 3, np.uint8)
        label[0, 0] = 255
        image = np.stack([np.full_like(label, number), label, np.zeros_like(label)], axis=-1)
        example = Example(
            f"é{number}",
            str(tmp_path / f"é{number}.png"),
            str(tmp_path / f"label {number}.png"),
        )
        cv2.imwrite(example.image, image[..., ::-1])
        _write_label(example, label)
        made.append(example)
    return made


def _write_label(example, label):
    Path(example.label).write_bytes(encode_label(label, voc_colors(256)))


def _batches(examples, count, **changed):
    options = {"num_classes": 3, "batch_size": 2, "crop_size": 5, **changed}
    dataset = training_batches(examples, **options)
    return list(dataset.take(count).as_numpy_iterator())


def _names(batches):
    return [name.decode() for batch in batches for name in batch["name"]]


def _assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for key in ("image", "label", "name"):
            np.testing.assert_array_equal(a[key], b[key])


def test_batches_have_the_promised_form(examples):
    dataset = training_batches(examples, num_classes=3, batch_size=2, crop_size=5)
    spec = dataset.element_spec
    assert spec["image"] == tf.TensorSpec((2, 5, 5, 3), tf.float32)
    assert spec["label"] == tf.TensorSpec((2, 5, 5), tf.uint8)
    assert spec["name"] == tf.TensorSpec((2,), tf.string)


def test_image_label_and_name_belong_together(examples):
    # No scaling and no room to crop: the whole image with padding below and to the right.
    options = {"crop_size": 8, "scale_range": (1, 1), "mirror": False}
    for batch in _batches(examples, 4, **options):
        for image, label, name in zip(*(batch[k] for k in ("image", "label", "name")), strict=True):
            number = int(name.decode()[1:])
            np.testing.assert_array_equal(image[:6, :, 0], number)
            np.testing.assert_array_equal(image[:6, :, 1], label[:6])
            assert label[3, 3] == number % 3
            np.testing.assert_array_equal(label[6:], 255)
            np.testing.assert_allclose(image[6:, :], np.tile(MEAN_RGB, (2, 8, 1)), rtol=1e-6)


def test_the_color_of_the_padding(examples):
    options = {"crop_size": 8, "scale_range": (1, 1), "mirror": False, "padding": (127.5,) * 3}
    for batch in _batches(examples, 2, **options):
        np.testing.assert_array_equal(batch["image"][:, 6:], 127.5)


def test_each_pass_holds_every_example_once_in_a_new_order(examples):
    names = _names(_batches(examples, 2 * COUNT, batch_size=2))
    passes = [tuple(names[i : i + COUNT]) for i in range(0, 4 * COUNT, COUNT)]
    for one in passes:
        assert sorted(one) == [example.name for example in examples]
    assert len(set(passes)) > 1


def test_one_example_is_enough(examples):
    names = _names(_batches(examples[:1], 3))
    assert names == [examples[0].name] * 6


def test_the_same_seed_gives_the_same_batches(examples):
    first, second = _batches(examples, 6, seed=5), _batches(examples, 6, seed=5)
    _assert_same(first, second)
    assert _names(first) != _names(_batches(examples, 6, seed=6))


def test_augmentation_changes_from_pass_to_pass(examples):
    batches = _batches(examples[:1], 8, batch_size=1, mirror=False)
    assert len({batch["label"].tobytes() for batch in batches}) > 1


@pytest.mark.parametrize("start", [1, 3, 10])
def test_start_skips_batches(examples, start):
    _assert_same(_batches(examples, start + 3)[start:], _batches(examples, 3, start=start))


@pytest.mark.parametrize("start", [0, 2])
def test_shards_together_make_the_whole_batch(examples, start):
    whole = _batches(examples, 5, batch_size=6, start=start)
    parts = [
        _batches(examples, 5, batch_size=6, start=start, shard=(index, 3)) for index in range(3)
    ]
    joined = [
        {key: np.concatenate([part[key] for part in step]) for key in step[0]}
        for step in zip(*parts, strict=True)
    ]
    _assert_same(whole, joined)


def test_shards_read_disjoint_examples(examples):
    # Of one pass, which has each example once, no two workers see the same one.
    parts = [_names(_batches(examples[:6], 1, batch_size=6, shard=(i, 2))) for i in range(2)]
    assert [len(part) for part in parts] == [3, 3]
    assert not set(parts[0]) & set(parts[1])
    assert sorted(parts[0] + parts[1]) == [example.name for example in examples[:6]]


def test_a_restart_in_the_middle_of_a_pass_goes_on_with_it(examples):
    # 7 examples in batches of 2: the second pass begins within a batch.
    options = {"seed": 3, "jitter": 0.5, "scale_range": (0.7, 1.9)}
    whole = _batches(examples, 9, **options)
    for start in (1, 3, 5):
        _assert_same(whole[start:], _batches(examples, 9 - start, start=start, **options))


def test_the_stream_does_not_depend_on_the_size_of_batches(examples):
    def rows(**options):
        return [
            {key: batch[key][i] for key in batch}
            for batch in _batches(examples, **options)
            for i in range(len(batch["name"]))
        ]

    _assert_same(rows(count=6, batch_size=2), rows(count=4, batch_size=3))


def _as_records(examples, path):
    offset, records = 0, []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            record = tf.train.Example()
            contents = (example.name.encode(), *example.read())
            for key, value in zip(("name", "image", "label"), contents, strict=True):
                record.features.feature[key].bytes_list.value.append(value)
            data = record.SerializeToString()
            writer.write(data)
            records.append(RecordExample(example.name, str(path), offset + 12, len(data)))
            offset += len(data) + 16
    return records


def test_files_and_records_give_the_same_batches(examples, tmp_path):
    records = _as_records(examples, tmp_path / "a.tfrecord")
    _assert_same(_batches(examples, 5, jitter=0.3), _batches(records, 5, jitter=0.3))


def test_an_unusable_record_is_named(examples, tmp_path):
    _damage(examples[4], "value")
    records = _as_records(examples, tmp_path / "a.tfrecord")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        _batches(records, COUNT)
    with pytest.raises(InputError, match=r"a.tfrecord, label of 'é4': label value 3"):
        raise input_error_from(caught.value)


STILL = {"scale_range": (1, 1), "mirror": False}


def test_a_pass_has_every_tile_of_every_image_once(examples):
    # Images of 6x8 in tiles of 4x4 that overlap by 1 at least: rows 0, 2 and columns 0, 2, 4.
    label = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for example in examples:
        _write_label(example, label)
    tiles = {"num_classes": 48, "tile_size": (4, 4), "tile_overlap": 1, "crop_size": 4}
    batches = _batches(examples, 2 * COUNT, batch_size=6, **tiles, **STILL)
    for one in (batches[:COUNT], batches[COUNT:]):
        seen = [
            (name.decode(), int(cut[0, 0]))
            for batch in one
            for name, cut in zip(batch["name"], batch["label"], strict=True)
        ]
        corners = [0, 2, 4, 16, 18, 20]
        assert sorted(seen) == [(e.name, corner) for e in examples for corner in corners]
    for batch in batches:
        for image, cut, name in zip(*(batch[k] for k in ("image", "label", "name")), strict=True):
            top, left = divmod(int(cut[0, 0]), 8)
            np.testing.assert_array_equal(cut, label[top : top + 4, left : left + 4])
            np.testing.assert_array_equal(image[..., 0], int(name.decode()[1:]))


def test_an_image_that_the_tiles_do_not_cover_is_named(examples):
    _write_label(examples[3], np.zeros((6, 17), np.uint8))
    cv2.imwrite(examples[3].image, np.zeros((6, 17, 3), np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        _batches(examples, 2 * COUNT, tile_size=(6, 5))
    with pytest.raises(InputError, match=r"3\.png: 2 tiles of 5 pixels do not cover a side of 17"):
        raise input_error_from(caught.value)


def test_mirror_and_scale_can_be_left_out_or_stepped(examples):
    label = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for example in examples:
        _write_label(example, label)
    options = {"num_classes": 48, "crop_size": 8, "scale_range": (1, 1)}
    still = _batches(examples, 6, mirror=False, **options)
    assert all(first == 0 for batch in still for first in batch["label"][:, 0, 0])
    corners = {
        first for batch in _batches(examples, 6, **options) for first in batch["label"][:, 0, 0]
    }
    assert corners == {0, 7}
    options["scale_range"] = (1, 2)
    stepped = _batches(examples, 12, scale_step=1.0, mirror=False, **options)
    # Scaled by two, neighbours in pairs hold the same label.
    kinds = {row[0] == row[1] for batch in stepped for row in batch["label"][:, 0]}
    assert kinds == {True, False}


def test_rgb_labels_with_colors(examples):
    encoding = LabelEncoding((0, 1, 2), [(9, 0, 0), (0, 9, 0), (0, 0, 9)])
    for example in examples:
        cv2.imwrite(example.label, np.full((6, 8, 3), (0, 9, 0), np.uint8))
    batch = _batches(examples, 1, crop_size=4, scale_range=(1, 1), encoding=encoding)[0]
    np.testing.assert_array_equal(batch["label"], 1)


def _damage(example, kind):
    if kind == "image":
        Path(example.image).write_bytes(Path(example.image).read_bytes()[:60])
    elif kind == "no image":
        Path(example.image).unlink()
    elif kind == "label":
        cv2.imwrite(example.label, np.zeros((6, 8, 3), np.uint8))
    elif kind == "cut label":
        Path(example.label).write_bytes(Path(example.label).read_bytes()[:-20])
    elif kind == "size":
        _write_label(example, np.zeros((8, 6), np.uint8))
    else:
        _write_label(example, np.full((6, 8), 3, np.uint8))


@pytest.mark.parametrize(
    ("kind", "file", "problem"),
    [
        ("image", "image", "cannot be read as PNG image"),
        ("no image", "image", "No such file or directory"),
        ("label", "label", "RGB label but no colors are given"),
        ("cut label", "label", "not a readable PNG"),
        ("size", "label", "size 6x8 differs from the image's 8x6"),
        ("value", "label", "label value 3 but only 3 classes"),
    ],
)
def test_an_unusable_example_is_named(examples, kind, file, problem):
    _damage(examples[4], kind)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        _batches(examples, COUNT)
    error = input_error_from(caught.value)
    assert isinstance(error, InputError)
    path = getattr(examples[4], file)
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)
    with pytest.raises(InputError, match=problem):
        raise error


def test_a_truncated_jpeg_is_named(examples, tmp_path):
    path = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    path.write_bytes(cv2.imencode(".jpg", noise)[1].tobytes()[:-40])
    examples[2] = examples[2]._replace(image=str(path))
    with pytest.raises(tf.errors.OpError) as caught:
        _batches(examples, COUNT)
    assert str(input_error_from(caught.value)).startswith(f"{path}: cannot be read")


def test_other_errors_are_unchanged():
    error = tf.errors.ResourceExhaustedError(None, None, "out of memory")
    assert input_error_from(error) is error


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"start": -1}, "start -1"),
        ({"shard": (2, 2)}, "shard"),
        ({"batch_size": 3, "shard": (0, 2)}, "cannot be split evenly among 2 workers"),
        ({"crop_size": 0}, "crop_size 0"),
        ({"scale_range": (2, 1)}, "scale range"),
        ({"jitter": 2}, "jitter 2"),
        ({"tile_size": (0, 9)}, "tile_size"),
        ({"tile_overlap": 3}, "tile_overlap 3 without tile_size"),
        ({"tile_size": (4, 4), "tile_overlap": 4}, "tile_overlap 4"),
    ],
)
def test_refuses_numbers_out_of_range(examples, changed, message):
    with pytest.raises(InputError, match=message):
        _batches(examples, 1, **changed)


def test_refuses_no_examples():
    with pytest.raises(InputError, match="no examples"):
        _batches([], 1)


def test_camvid_batches(camvid):
    examples = read_split(camvid, "train")
    dataset = training_batches(examples, num_classes=11, batch_size=2, crop_size=321)
    for batch in itertools.islice(dataset.as_numpy_iterator(), 3):
        assert batch["image"].shape == (2, 321, 321, 3)
        assert 40 < batch["image"].mean() < 200
        valid = batch["label"] != 255
        assert valid.mean() > 0.3
        assert batch["label"][valid].max() <= 10
