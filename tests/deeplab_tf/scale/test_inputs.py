"""Which images an input stands for, and what their labels and rows are called."""

import pytest
import tensorflow as tf

from deeplab_tf import InputError
from deeplab_tf.scale.inputs import Item, open_inputs
from deeplab_tf.scale.labels import Finished, digest_of, remaining
from deeplab_tf.scale.reader import Reader
from deeplab_tf.scale.storage import open_place, read_place, write_place

pa = pytest.importorskip("pyarrow", reason='needs pip install ".[ray]"')
import pyarrow.parquet as pq  # noqa: E402


@pytest.fixture
def photos(tmp_path):
    names = ["a.jpg", "deep/b.PNG", "deep/er/c.tif", "notes.md", ".hidden/d.jpg", "deep/.e.jpg"]
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(name.encode())
    return tmp_path / "photos"


def found(*inputs, out_dir="/results"):
    return [item for source in open_inputs(inputs, out_dir) for item in source.items()]


def labels(*inputs):
    return {item.source: item.label for item in found(*inputs)}


def test_a_folder_stands_for_all_its_folders(photos):
    expected = {
        f"{photos}/a.jpg": "a.png",
        f"{photos}/deep/b.PNG": "deep/b.png",
        f"{photos}/deep/er/c.tif": "deep/er/c.png",
    }
    assert labels(photos) == expected
    assert [source.count for source in open_inputs([photos], "/results")] == [3]
    assert found(photos)[1] == Item(
        f"{photos}/deep/b.PNG", "deep/b.PNG", "deep/b.png", f"{photos}/deep/b.PNG"
    )
    of_url = {f"file://{source}": label for source, label in expected.items()}
    assert labels(f"file://{photos}") == of_url


@pytest.mark.parametrize("start", ["", "file://"])
def test_patterns(photos, start):
    def names(pattern):
        return [
            item.source.rpartition("photos/")[2] for item in found(f"{start}{photos}/{pattern}")
        ]

    assert names("*.jpg") == ["a.jpg"]
    assert names("**/*.tif") == ["deep/er/c.tif"]
    assert names("deep/*.P?G") == ["deep/b.PNG"]
    assert names("[ab]*.jpg") == ["a.jpg"]
    assert names("**") == ["a.jpg", "deep/b.PNG", "deep/er/c.tif"]
    assert names("deep/**/*.???") == ["deep/b.PNG", "deep/er/c.tif"]
    assert names("*/?r/c*") == ["deep/er/c.tif"]
    assert list(labels(f"{photos}/deep/**/c.*").values()) == ["er/c.png"]


def test_patterns_are_relative_to_the_working_directory(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert labels("*.jpg") == {f"{photos}/a.jpg": "a.png"}


def test_a_list_has_paths_beside_it_and_urls(photos):
    names = photos / "some.txt"
    names.write_text(f"a.jpg\n\n deep/b.PNG\nfile://{photos}/deep/er/c.tif\n{photos}/a.jpg\n")
    items = found(names)
    assert [item.source for item in items] == [
        f"{photos}/a.jpg", f"{photos}/deep/b.PNG", f"file://{photos}/deep/er/c.tif",
    ]  # fmt: skip
    assert all(read_place(item.place) for item in items)
    names.write_text("a.jpg\ndeep/b.PNG\n")
    assert list(labels(names).values()) == ["a.png", "deep/b.png"]


def test_several_inputs_keep_their_folders(photos):
    assert list(labels(photos / "deep", photos / "a.jpg").values()) == [
        "deep/b.png", "deep/er/c.png", "a.png",
    ]  # fmt: skip
    assert list(labels(photos / "a.jpg").values()) == ["a.png"]


def test_of_images_with_the_same_labels_all_but_one_are_refused(photos):
    (photos / "a.png").write_bytes(b"")
    sources = open_inputs([photos], "/results")

    def refused(*done):
        digests = {digest_of(label) for label in done}
        items = remaining(sources, Finished(set(), digests, []))
        return [item.name for item in items if item.refused]

    assert refused() == ["a.png"]
    assert refused("a.png") == ["a.jpg", "a.png"]  # those of an earlier run are kept
    in_table = remaining(sources, Finished(set(), set(), []), has_files=False)
    assert not any(item.refused for item in in_table)
    done = Finished({digest_of(f"{photos}/a.jpg")}, set(), [])
    assert not any(item.refused for item in remaining(sources, done))


def test_nothing_is_listed_twice(photos):
    pq.write_table(pa.table({"image": [b"a"]}), photos / "deep" / "x.parquet")
    parquet = photos / "deep" / "x.parquet"
    assert len(found(photos, photos / "a.jpg", f"{photos}/*.jpg", parquet, f"{parquet}")) == 4


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "no image is given"),
        (["{photos}/none.jpg"], "no such image"),
        (["{photos}/*.bmp"], "no image found"),
        (["{photos}/.hidden/empty"], "no such image"),
        (["s4://bucket/a.jpg"], None),  # only a worker opens it
        (["s4://bucket/**/*.jpg"], "s4://bucket: cannot be opened"),
        (["{photos}/broken.parquet"], "broken.parquet: cannot be read"),
        (["{photos}/broken.tfrecord"], "cut off or damaged"),
    ],
)
def test_inputs_that_cannot_be_used(photos, inputs, message):
    for name in ("broken.parquet", "broken.tfrecord"):
        (photos / name).write_bytes(b"no records here")
    inputs = [one.format(photos=photos) for one in inputs]
    if message is None:
        assert len(found(*inputs)) == 1
        return
    with pytest.raises(InputError, match=message):
        found(*inputs)


def test_results_among_the_images_are_refused(photos):
    for out_dir in (photos, photos / "deep" / "results"):
        for one in (photos, f"{photos}/**/*.jpg"):
            with pytest.raises(InputError, match="results would be written among the images"):
                found(one, out_dir=out_dir)
    with pytest.raises(InputError, match="has results of"):
        found(f"{photos}/*/*.PNG", out_dir=photos / "deep")


def test_records_of_parquet_files(tmp_path):
    images = [bytes([number]) * 3 for number in range(5)]
    columns = {"bytes": images, "name": [f"n{number}" for number in range(5)]}
    pq.write_table(pa.table(columns), tmp_path / "plain.parquet", row_group_size=2)
    pq.write_table(
        pa.table({"image": [{"bytes": one, "path": "p"} for one in images]}),
        tmp_path / "struct.parquet",
    )
    for name, expected in (("plain", "n4"), ("struct", f"{tmp_path}/struct.parquet:4")):
        items = found(tmp_path / f"{name}.parquet")
        assert items[4].source == f"{tmp_path}/{name}.parquet:4"
        assert items[4].label == f"{name}/000004.png"
        reader = Reader()
        assert [reader.read(item)[1] for item in items] == images
        assert reader.read(items[4])[0] == expected
    items = found(tmp_path)  # a folder without images
    assert {item.label for item in items} >= {"plain/000004.png", "struct/000004.png"}
    assert len(items) == 10
    with pytest.raises(InputError, match="no column picture with images; it has bytes, name"):
        open_inputs([tmp_path / "plain.parquet"], "/results", ("picture", None))


def test_records_of_tfrecord_files(tmp_path):
    path = tmp_path / "data.tfrecord-00000-of-00002"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(3):
            values = {"image/encoded": b"image%d" % number, "image/filename": b"%d.jpg" % number}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            record = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(record.SerializeToString())
    for place in (path, f"file://{path}"):
        items = found(place)
        assert [item.label for item in items] == [
            f"data-00000-of-00002/00000{number}.png" for number in range(3)
        ]
        assert [Reader().read(item) for item in items] == [
            (f"{number}.jpg", b"image%d" % number) for number in range(3)
        ]
    with pytest.raises(InputError, match="no column picture with images; it has image/encoded"):
        open_inputs([path], "/results", ("picture", None))


def test_files_by_url(tmp_path):
    place = f"file://{tmp_path}/new/a.bin"
    write_place(place, b"abc")
    assert read_place(place) == b"abc" and (tmp_path / "new" / "a.bin").read_bytes() == b"abc"
    assert open_place(place)[1] == f"{tmp_path}/new/a.bin"
    with pytest.raises(InputError, match="no such file"):
        read_place(f"file://{tmp_path}/none")
