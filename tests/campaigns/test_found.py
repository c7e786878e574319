"""What the fuzzing campaign found, as small inputs: each is one clear line now.

Most are read by the campaign's own readers, see fuzz_readers.py.
"""

import json
import pickle
import zipfile

import fuzz_data
import fuzz_images
import fuzz_networks
import h5py
import numpy as np
import pytest
from caffe_writer import bytes_field, layer, varint
from fuzz_files import members_of, tarred, zipped
from fuzz_hostile import hdf5, jpeg_of_scans, tiff_of_pages, tiff_of_tags
from fuzz_outcome import outcome, refused
from fuzz_seeds import SEEDS

from deeplab_tf import download, untrusted
from deeplab_tf.data import image_files, label_png, samples
from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.jpeg_segments import JPEG_SCAN
from deeplab_tf.data.label_png import decode_label
from deeplab_tf.errors import InputError

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("labels.json", "labels.json"),
        ("run.json", "run.json"),
        ("crf json", "crf.json"),
        ("coco json", "instances.json"),
        ("description", "description.json"),
    ],
)
def test_json_of_too_many_levels(tmp_path, reader, name):
    assert outcome(tmp_path, reader, {name: DEEP})[0] == "line"


def changed(make, name, change):
    """The JSON file of a seed after a function has changed its content."""
    contents = make()[0]
    content = json.loads(contents[name])
    change(content)
    return {**contents, name: json.dumps(content).encode()}


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (lambda c: c["images"][0].update(height="24"), "height and width must be a whole number"),
        (lambda c: c["images"][0].update(height=-3), "height and width must be a whole number"),
        (lambda c: c["images"][0].update(height=1 << 60), "rows or columns"),
        (lambda c: c["images"][0].update(height=20000, width=20000), "pixels are too many"),
        (lambda c: c["images"][0].update(file_name=3), "a file name that is no text"),
        (lambda c: c["annotations"][0].update(category_id=[1]), "unhashable"),
        (lambda c: c["annotations"][0].pop("category_id"), "category_id"),
        (lambda c: c["annotations"][0].update(segmentation=[[[1, 2], [3]]]), "its polygon"),
        (lambda c: c["annotations"][0].update(segmentation=[[10**400] * 6]), "its polygon"),
        (lambda c: c["annotations"][0].update(segmentation=[["a"] * 6]), "its polygon"),
        (lambda c: c["annotations"][1]["segmentation"].update(counts=[]), "its run lengths"),
        (lambda c: c["annotations"][1]["segmentation"].update(counts=[1 << 70]), "its run lengths"),
        (lambda c: c["annotations"][1]["segmentation"].update(counts=[True, 767]), "run lengths"),
        (lambda c: c["categories"].append({"id": [2], "name": "cat"}), "unhashable"),
    ],
)
def test_annotations_of_coco(tmp_path, change, needle):
    refused(tmp_path, "coco json", changed(fuzz_data.coco, "instances.json", change), needle)


@pytest.mark.parametrize("names", ["abc", [1, 2, 3], [["a"], ["b"]], {"a": 1, "b": 2}])
def test_class_names_that_are_no_texts(tmp_path, names):
    contents = changed(fuzz_data.labels, "labels.json", lambda c: c.update(names=names))
    assert outcome(tmp_path, "labels.json", contents)[0] == "line"


def test_control_characters_of_a_file_are_shown_as_escapes(tmp_path):
    names = ["\x1b[31mred\u202e\n", "\x1b[31mred\u202e\n"]
    contents = changed(fuzz_data.labels, "labels.json", lambda c: c.update(names=names))
    assert outcome(tmp_path, "labels.json", contents)[0] == "line"
    assert str(InputError("\x1b[31mred\u202e\nfür ü\ud800")) == r"\x1b[31mred\u202e\nfür ü\ud800"


@pytest.mark.parametrize("line", ["a\0b", "/a\0b", "a" * 5000, "é" * 200, "a/" * 4000])
def test_names_that_no_file_can_have(tmp_path, line):
    list_file = "data/ImageSets/Segmentation/train.txt"
    refused(tmp_path, "list", {list_file: line.encode()}, "is no name of a file")
    refused(tmp_path, "entries", {"train.txt": line.encode()}, "is no name of a file")


def test_lines_of_classes_that_are_too_long_or_too_many(tmp_path):
    long = {"classes.txt": b"a 1 2 " + b"9" * 5000}
    refused(tmp_path, "classes.txt", long, "a line of 5006 characters; write one class per line")
    many = {"classes.txt": b"".join(b"class %d\n" % number for number in range(256))}
    refused(tmp_path, "classes.txt", many, "256 class names; give at most 255")


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("--flagfile=~nobody_of_this_name/a.flags", "no such file"),
        (f"--flagfile={'a' * 5000}", "no such file"),
        ("--flagfile=a\0b", "no such file"),
        ("--weights=~a\0b", ""),
    ],
)
def test_flagfiles_of_names_that_cannot_be(tmp_path, text, needle):
    assert needle in outcome(tmp_path, "flagfile", {"main.flags": text.encode()})[1]


def test_flagfiles_that_double_at_every_level(tmp_path):
    levels = range(30)
    contents = {f"{n}.flags": f"--flagfile={n + 1}.flags\n".encode() * 2 for n in levels}
    contents |= {"main.flags": b"--flagfile=0.flags", "30.flags": b"# nothing"}
    assert outcome(tmp_path, "flagfile", contents)[0] == "result"
    contents["30.flags"] = b"--steps=3"
    refused(tmp_path, "flagfile", contents, "more than 10000 flags")


def test_a_number_of_a_class_that_needs_gigabytes(tmp_path):
    contents = fuzz_data.context()[0] | {"labels.txt": b"99999999999: table\n"}
    refused(tmp_path, "mat context", contents, "is not 'NUMBER: NAME'")


@pytest.mark.parametrize(
    "name", ["a" * 300, ".", "a/b/c.txt"], ids=["too long", "no name", "below a file"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_cannot_be_files(tmp_path, kind, name):
    pack = zipped if kind == "zip" else tarred
    contents = {f"data.{kind}": pack({"a/b": b"file", name: b"x"})}
    refused(tmp_path, kind, contents, "impossible names")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_too_many_zeros(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(untrusted, "_HARMLESS", 1 << 20)
    pack = zipped if kind == "zip" else tarred
    contents = {f"data.{kind}": pack({"a": bytes(3 << 20)}, 8 if kind == "zip" else "w:gz")}
    refused(tmp_path, kind, contents, "do not use this archive")
    assert not any((tmp_path / "run" / "target").iterdir())


def test_a_server_that_sends_a_byte_at_a_time(tmp_path):
    first, more = "HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content"
    answers = [([line, "Content-Length: 1000"], 1) for line in (first, more)]
    refused(tmp_path, "http", fuzz_data.answer(0, answers), "the connection broke after 2")
    assert download.MOST_LITTLE == 20


@pytest.mark.parametrize("length", ["many", "-4", "9" * 5000, "4, 4", "٤"])
def test_a_length_that_is_no_number(tmp_path, length):
    head = ["HTTP/1.1 200 OK", f"Content-Length: {length}"]
    assert outcome(tmp_path, "http", fuzz_data.answer(0, [(head, 4)]))[0] == "result"


def test_tiffs_that_claim_their_whole_file_again_and_again(tmp_path):
    assert outcome(tmp_path, "image tif", {"image.tif": tiff_of_tags(3000)})[0] == "line"
    refused(tmp_path, "image tif", {"image.tif": tiff_of_pages(2000)}, "more than 1000 pages")


def test_a_jpeg_of_many_scans(tmp_path):
    few = outcome(tmp_path, "image jpg", {"image.jpg": jpeg_of_scans(20, 40)})
    assert "scans" not in few[1]
    refused(tmp_path, "image jpg", {"image.jpg": jpeg_of_scans(200, 40)}, "scans (limit: 100)")
    film = fuzz_images.jpegs()[0] + JPEG_SCAN * 200  # behind the end of the photograph
    assert outcome(tmp_path, "image jpg", {"image.jpg": film})[0] == "result"


def test_scans_that_no_decoder_reads_do_not_count(tmp_path):
    data = fuzz_images.jpegs()[0]  # its only scan has all channels
    start = data.index(JPEG_SCAN)
    scans = {"image.jpg": data[:start] + data[start:-2] * 200 + data[-2:]}
    assert outcome(tmp_path, "image jpg", scans)[0] == "result"
    two = data[:start].replace(b"\xff\xc0", b"\xff\xc2") + data[start:-2] * 200 + data[-2:]
    refused(tmp_path, "image jpg", {"image.jpg": two}, "200 scans (limit: 100)")


def test_an_array_that_claims_more_than_its_file(tmp_path):
    shape = str({"descr": "<f8", "fortran_order": False, "shape": (13000, 13000)})
    claim = b"\x93NUMPY\x01\0\x76\0" + shape.encode().ljust(118)
    refused(tmp_path, "depth npy", {"depth.npy": claim}, "damaged or cut off?")
    members = {"probabilities.npy": claim, "classes.npy": claim, "source.npy": claim}
    refused(tmp_path, "probabilities", {"scores.npz": zipped(members)}, "not probabilities")
    unclosed = claim.replace(b"}", b"(")
    members = {"probabilities.npy": unclosed, "classes.npy": claim, "source.npy": claim}
    refused(tmp_path, "probabilities", {"scores.npz": zipped(members)}, "not probabilities")
    negative = claim.replace(b"(13000, 13000)", b"(-1, 4)       ").replace(b"<f8", b"|u1")
    refused(tmp_path, "image npy", {"image.npy": negative}, "damaged or cut off?")


@pytest.mark.parametrize(
    ("reader", "make", "file", "member", "needle"),
    [
        ("probabilities", fuzz_data.probabilities, "scores.npz", "classes.npy", "not probabil"),
        ("packed npz", fuzz_networks.packed_networks, "net.npz", "card.json", "damaged"),
        ("keras", SEEDS["keras"], "model.keras", "config.json", "cannot load"),
    ],
)
def test_members_whose_compressed_bytes_are_damaged(tmp_path, reader, make, file, member, needle):
    members = members_of(make()[0][file])
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = zipped({member: members[member], **members}, kind)
        start = 30 + len(member)  # of the first member's bytes
        contents = {file: packed[: start + 4] + b"\xff" * 20 + packed[start + 24 :]}
        refused(tmp_path, reader, contents, needle)


def test_numbers_that_were_never_written(tmp_path):
    def write(file):
        file.create_dataset("a/kernel:0", (1 << 12, 1 << 11), "f4", chunks=(64, 64))

    refused(tmp_path, "port h5", {"port.h5": hdf5(write)}, "more than the file has bytes")
    refused(tmp_path, "h5", {"model.h5": hdf5(write)}, "more than the file has bytes")


def test_a_layer_larger_than_its_file(tmp_path):
    whole = fuzz_networks.models("keras")[0]["model.keras"]
    members = members_of(whole)
    for old, new in ((b'"filters": 2', b'"filters": 1000000000'), (b"[9, 9]", b"[90000, 90000]")):
        assert old in members["config.json"]
        config = members["config.json"].replace(old, new)
        contents = {"model.keras": zipped({**members, "config.json": config})}
        refused(tmp_path, "keras", contents, "numbers or more, but the file has 488")


def test_an_hdf5_type_that_numpy_does_not_have(tmp_path):
    def write(file):
        space = h5py.h5s.create_simple((1,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)

    refused(tmp_path, "port h5", {"port.h5": hdf5(write)}, "truncated, or not an HDF5 file")


@pytest.mark.parametrize("sizes", [(0, 1 << 69), (1,) * 65])
def test_caffe_shapes_that_no_array_has(tmp_path, sizes):
    shape = bytes_field(7, bytes_field(1, b"".join(map(varint, sizes))))
    values = bytes_field(5, np.ones(sizes and int(sizes[0]), "f4").tobytes())
    contents = layer("conv", "Convolution", settings=bytes_field(7, shape + values))
    refused(tmp_path, "caffemodel", {"net.caffemodel": contents}, f"of {len(sizes)} axes")


def test_pickles_of_tuples_in_tuples(tmp_path):
    deep = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
    wide = b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"\x8c\x01a\x93."
    refused(tmp_path, "pth", {"net.pth": deep}, "a key of the type tuple")
    refused(tmp_path, "pth", {"net.pth": zipped({"a/data.pkl": wide})}, "a key of the type tuple")
    first = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": 1})]
    keys = b"\x80\x02](" + b")" + b"\x85" * 200_000 + b"e."
    listed = b"".join(first) + b"\x80\x02}." + keys
    refused(tmp_path, "pth", {"net.pth": listed}, "whose key has the type tuple")


def test_large_images_are_converted_in_parts(monkeypatch):
    whole = [decode_image(contents) for contents in fuzz_images.jpegs()[:5]]
    whole += [decode_image(contents) for contents in fuzz_images.pngs()[:9]]
    monkeypatch.setattr(samples, "_BLOCK", 5 * 32)
    monkeypatch.setattr(image_files, "JPEG_END", b"never")  # Pillow decodes all of them
    for contents, pixels in zip(fuzz_images.pngs()[:9], whole[5:], strict=True):
        np.testing.assert_array_equal(decode_image(contents), pixels)
    cmyk = fuzz_images.jpegs()[2]
    np.testing.assert_array_equal(decode_image(cmyk), whole[2])


def test_colors_of_large_labels_are_matched_in_parts(monkeypatch):
    image = fuzz_images.IMAGE
    colors = np.unique(image.reshape(-1, 3), axis=0)[:250]
    known = np.where((image[..., None, :] == colors).all(-1).any(-1)[..., None], image, colors[0])
    label = decode_label(fuzz_images.png(known), colors)
    np.testing.assert_array_equal(colors[label], known)
    monkeypatch.setattr(label_png, "_BLOCK", 5 * 32)
    np.testing.assert_array_equal(decode_label(fuzz_images.png(known), colors), label)
    known[-1, -1] = 0, 0, 1
    with pytest.raises(InputError, match="a color that no class has"):
        decode_label(fuzz_images.png(known), colors)


def test_deep_pngs_have_the_limit_of_tiffs(monkeypatch):
    deep = fuzz_images.pngs()[3]
    monkeypatch.setattr(samples, "MAX_PIXELS", 24 * 32 * 4)
    decode_image(deep)
    monkeypatch.setattr(samples, "MAX_PIXELS", 24 * 32 * 4 - 1)
    with pytest.raises(InputError, match="PNG of 3072 values is too large"):
        decode_image(deep)
