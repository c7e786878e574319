"""Files made by hand to do harm, which changes of valid files would not give.

`HOSTILE` has, for some readers, a function that returns a list of inputs, as `SEEDS` does.
"""

import io
import json
import pickle
import struct
import zlib

import h5py
import numpy as np
from fuzz_data import answer
from fuzz_files import members_of, saved, zipped
from fuzz_networks import models, packed_networks
from handmade_png import chunk

LEVELS = 1_000_000  # of lists within lists


def png_bomb(width, height, depth, color, channels):
    """A PNG of zeros: a small file of many pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    squeeze, row = zlib.compressobj(1), bytes(1 + width * channels * depth // 8)
    pieces = [squeeze.compress(row) for _ in range(height)] + [squeeze.flush()]
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(pieces)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_of_tags(count=60_000):
    """A TIFF whose thousands of tags all claim the whole file as their values."""
    start = 8
    size = start + 2 + 12 * count
    tags = b"".join(struct.pack("<HHII", 40_000, 1, size, 0) for _ in range(count))
    return b"II*\0" + struct.pack("<IH", start, count) + tags + bytes(4)


def tiff_of_pages(count=40_000):
    """A TIFF of many pages, whose tags are those of the others."""
    # All but the first say that they are smaller copies of another page.
    pages = b"".join(
        struct.pack("<HHHIII", 1, 254, 4, 1, min(n, 1), 8 + 18 * (n + 1)) for n in range(count)
    )
    return b"II*\0" + struct.pack("<I", 8) + pages + bytes(6)


def jpeg_of_scans(scans, side=3000):
    """A progressive JPEG that goes over its pixels again and again."""
    data = saved(np.zeros((side, side), np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def _jpegs():
    return [{"image.jpg": jpeg_of_scans(3000)}]


def _label_bombs():
    return [{"label.png": png_bomb(13000, 13700, 8, color, n)} for color, n in ((2, 3), (3, 1))]


def _images():
    bombs = png_bomb(13000, 13700, 8, 2, 3), png_bomb(13000, 13700, 16, 6, 4)
    return [{"image.png": contents} for contents in bombs]


def _requests():
    """Files that ask for more memory than their headers say, or only together."""
    large = png_bomb(13000, 13700, 8, 2, 3)
    late = large[:8] + chunk(b"abCd", struct.pack(">IIB", 1, 1, 8)) + large[8:]
    slivers = png_bomb(1, 20_000, 8, 2, 3), png_bomb(20_000, 1, 8, 2, 3)
    return [{"a.png": late}, dict(zip(("a.png", "b.png"), slivers, strict=True))]


def _tiffs():
    return [{"image.tif": contents} for contents in (tiff_of_tags(), tiff_of_pages())]


def _flagfiles():
    files = {
        f"{n}.flags": f"--flagfile={n + 1}.flags\n--flagfile={n + 1}.flags\n" for n in range(40)
    }
    files["main.flags"] = "--flagfile=0.flags\n"
    return [{name: text.encode() for name, text in files.items()}]


def deep_pickle():
    """A dictionary whose key is tuples within tuples: hashing it needs a stack of their number."""
    return b"\x80\x02}" + b")" + b"\x85" * LEVELS + b"K\x01s."


def wide_pickle():
    """A text of tuples that hold another one twice, which has 2^60 of them."""
    twice = b"q\x00h\x00\x86"
    return b"\x80\x02)" + twice * 60 + b"\x8c\x01a\x93."


def _torch():
    keys = b"\x80\x02](" + b")" + b"\x85" * LEVELS + b"e."
    first = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001)]
    about = pickle.dumps({"little_endian": True}, 2)
    files = [deep_pickle(), wide_pickle(), b"".join(first) + about + b"\x80\x02}." + keys]
    files += [zipped({"a/data.pkl": one}) for one in (deep_pickle(), wide_pickle())]
    return [{"net.pth": contents} for contents in files]


def hdf5(write):
    """The bytes of an HDF5 file that a function fills."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        write(opened)
    return file.getvalue()


def _links(file):
    file["a"] = h5py.ExternalLink("/etc/hostname", "/")


def _circle(file):
    file["a/b"] = 1
    file["a/c"] = file["a"]
    file["d"] = h5py.SoftLink("/a/c/c")


def _unwritten(file):
    file.create_dataset("a/kernel:0", (1 << 15, 1 << 14), "f4", chunks=(1024, 1024))


def _hdf5_files(name):
    return lambda: [{name: hdf5(write)} for write in (_links, _circle, _unwritten)]


def _keras():
    """Networks that ask for memory, or for code."""
    members = members_of(models("keras")[0]["model.keras"])
    found = []
    for old, new in (
        (b'"filters": 2', b'"filters": 1000000000'),
        (b'"kernel_size": [9, 9]', b'"kernel_size": [90000, 90000]'),
        (b'"class_name": "Rescaling"', b'"class_name": "Lambda"'),
        (b'"module": "keras.layers"', b'"module": "os"'),
    ):
        assert old in members["config.json"], old
        changed = {**members, "config.json": members["config.json"].replace(old, new)}
        found.append({"model.keras": zipped(changed)})
    bomb = {**members, "model.weights.h5": hdf5(_unwritten)}
    return [*found, {"model.keras": zipped(bomb)}]


def _packed():
    members = members_of(packed_networks()[0]["net.npz"])
    card = json.loads(members["card.json"])
    card["network"]["num_classes"] = 1 << 24
    header = b"\x93NUMPY\x01\0\x76\0"
    header += str({"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}).encode().ljust(118)
    return [
        {"net.npz": zipped({**members, "card.json": json.dumps(card).encode()})},
        {"net.npz": zipped({**members, "a/0.npy": header})},
    ]


def _depths():
    shape = {"descr": "<f8", "fortran_order": False, "shape": (13000, 13000)}
    return [{"depth.npy": b"\x93NUMPY\x01\0\x76\0" + str(shape).encode().ljust(118)}]


def _answers():
    drip = ["HTTP/1.1 206 Partial Content", "Content-Length: 1000"]
    first = ["HTTP/1.1 200 OK", "Content-Length: 1000"]
    return [
        answer(0, [(first, 1), (drip, 1)]),
        answer(0, [(["HTTP/1.1 200 OK", f"Content-Length: {'9' * 5000}"], 1)]),
        answer(0, [(["HTTP/1.1 200 OK", "Content-Length: many"], 1)]),
        answer(0, [(["HTTP/1.1 200 OK", *["X: " + "y" * 60000] * 3], 1)]),
        answer(0, [(["HTTP/1.1 302 Found", "Location: ftp://127.0.0.1:1/x"], 0)]),
    ]


def _texts(name):
    runs = (" ", ",", "a ", "1 ", ", 1", "a.jpg ", ".jpg", "void ", "\t", "../", "9")
    return lambda: [{name: (f"a{run * (200_000 // len(run))}b\nc\n").encode()} for run in runs]


HOSTILE = {
    "image jpg": _jpegs,
    "label png": _label_bombs,
    "image png": _images,
    "image tif": _tiffs,
    "served": _requests,
    "flagfile": _flagfiles,
    "pth": _torch,
    "h5": _hdf5_files("model.h5"),
    "port h5": _hdf5_files("port.h5"),
    "keras": _keras,
    "packed npz": _packed,
    "depth npy": _depths,
    "http": _answers,
    "entries": _texts("train.txt"),
    "classes.txt": _texts("classes.txt"),
    "camera.txt": _texts("camera.txt"),
}
