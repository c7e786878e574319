"""Changes of files that keep their format: parts with correct checksums, but wrong contents.

`FORMATS` has the changes for the endings of file names; see fuzz_changes.py for what a change is.
"""

import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib

from fuzz_changes import GENERAL, JSON, NAMES, NUMBERS, TEXT
from fuzz_files import members_of, zipped
from handmade_png import chunk

_ODD_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"IDAT", b"IHDR")
_ODD_CHUNKS += (b"iCCP", b"gAMA", b"bKGD", b"abcD", b"ABCD", b"IEND", b"fdAT", b"fcTL", b"sRGB")


def png_chunks(rng, data):
    """Change a chunk of a PNG, or its place; the checksums are right."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return rng.choice(GENERAL)(rng, data)
    number = rng.randrange(len(chunks))
    kind, contents = chunks[number]
    action = rng.randrange(7)
    if action == 0:
        del chunks[number]
    elif action == 1:
        rng.shuffle(chunks)
    elif action == 2:
        bomb = zlib.compress(bytes(rng.choice((10, 1 << 24))))
        text = rng.choice((rng.randbytes(20), b"a\0\0" + bomb, b"Exif\0\0II*\0\xff\xff", b""))
        chunks.insert(number, (rng.choice(_ODD_CHUNKS), text))
    elif action == 3 and kind == b"IDAT":
        rows = zlib.compress(rng.choice(GENERAL)(rng, _inflated(contents)))
        chunks[number] = kind, rows
    elif action in (4, 5):
        start = rng.choice((0, 4, 8, 9, 10, 11, 12))
        width = 4 if start < 8 else 1
        new = (rng.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "big")
        header = chunks[0][1]
        chunks[0] = chunks[0][0], header[:start] + new + header[start + width :]
    else:
        chunks[number] = kind, rng.choice(GENERAL)(rng, contents)
    return data[:8] + b"".join(chunk(*one) for one in chunks)


def _inflated(data):
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def jpeg_segments(rng, data):
    """Change a segment of a JPEG, or its place, with the right length."""
    segments, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, place + 2)
        segments.append((data[place + 1], data[place + 4 : place + 2 + length]))
        place += 2 + length
    if not segments:
        return rng.choice(GENERAL)(rng, data)
    number, action = rng.randrange(len(segments)), rng.randrange(5)
    kind, contents = segments[number]
    if action == 0:
        del segments[number]
    elif action == 1:
        rng.shuffle(segments)
    elif action == 2:
        tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 3, 1, rng.randrange(10))
        segments.insert(number, (rng.choice((0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xDD, 0xC0)), tiff))
    else:
        segments[number] = kind, rng.choice(GENERAL)(rng, contents)[:65533]
    parts = (bytes([0xFF, x]) + struct.pack(">H", len(part) + 2) + part for x, part in segments)
    return data[:2] + b"".join(parts) + data[place:]


def tiff_tags(rng, data):
    """Change the type, the count or the value of a tag, or the tag itself."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return rng.choice(GENERAL)(rng, data)
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return rng.choice(GENERAL)(rng, data)
    (count,) = struct.unpack_from(order + "H", data, start)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        place = start + 2 + 12 * rng.randrange(max(count, 1))
        offset, form = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
        known = rng.choice((256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 324))
        value = known if offset == 0 else rng.choice(NUMBERS)
        if place + offset + struct.calcsize(form) <= len(changed):
            limit = 1 << 8 * struct.calcsize(form)
            struct.pack_into(order + form, changed, place + offset, value % limit)
    return bytes(changed)


def riff_chunks(rng, data):
    """Change a chunk of a WebP file; sizes are right, or not."""
    if len(data) < 20:
        return rng.choice(GENERAL)(rng, data)
    new = rng.choice(GENERAL)(rng, data[20:])
    size = len(new) if rng.random() < 0.5 else rng.choice(NUMBERS) % (1 << 32)
    kind = rng.choice((data[12:16], b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"EXIF"))
    return (
        b"RIFF" + struct.pack("<I", len(new) + 12) + b"WEBP" + kind + struct.pack("<I", size) + new
    )


def mat_elements(rng, data):
    """Change a compressed variable of a .mat file, and compress it again."""
    elements, place = [], 128
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        elements.append((kind, data[place + 8 : place + 8 + size]))
        place += 8 + size
    compressed = [number for number, (kind, _) in enumerate(elements) if kind == 15]
    if not compressed:
        return rng.choice(GENERAL)(rng, data)
    number = rng.choice(compressed)
    inner = rng.choice(GENERAL)(rng, _inflated(elements[number][1]))
    elements[number] = 15, zlib.compress(inner)
    parts = (struct.pack("<II", kind, len(part)) + part for kind, part in elements)
    return data[:128] + b"".join(parts)


def zip_members(rng, data):
    """Change the contents, the name or the order of members; the checksums are right."""
    try:
        members = members_of(data)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, zlib.error, ValueError,
            struct.error, EOFError, IndexError):  # fmt: skip
        return rng.choice(GENERAL)(rng, data)
    if not members:
        return data
    name, action = rng.choice(list(members)), rng.randrange(6)
    if action == 0:
        members[rng.choice(NAMES)] = members.pop(name)
    elif action == 1:
        del members[name]
    elif action == 2:
        members[rng.choice((*NAMES, f"{name}.npy"))] = rng.choice(list(members.values()))
    else:
        changes = FORMATS.get(name.rpartition(".")[2], GENERAL)
        members[name] = rng.choice(changes)(rng, members[name])
    if any("\0" in one for one in members):
        members = {one.replace("\0", ""): contents for one, contents in members.items()}
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    return zipped(members, kind)


def tar_members(rng, data):
    """Change the name, the kind, the size or the contents of a member; the checksums are right."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = [(one, archive.extractfile(one).read() if one.isreg() else b"")
                       for one in archive.getmembers()]  # fmt: skip
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, AttributeError):
        return rng.choice(GENERAL)(rng, data)
    if not members:
        return data
    file, number, action = io.BytesIO(), rng.randrange(len(members)), rng.randrange(5)
    info, contents = members[number]
    if action == 0:
        info.name = rng.choice(NAMES)
    elif action == 1:
        info.type = rng.choice((b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"L", b"x"))
        info.linkname = rng.choice((*NAMES, "/etc/passwd", members[0][0].name))
    elif action == 2:
        info.pax_headers = {rng.choice(("path", "size", "linkpath", "GNU.sparse.map", "mtime")):
                            rng.choice((*NAMES, "1", "99999999999", "-1"))}  # fmt: skip
    elif action == 3:
        members[number] = info, rng.choice(GENERAL)(rng, contents)
    else:
        rng.shuffle(members)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one, contents in members:
            one.size = len(contents)
            archive.addfile(one, io.BytesIO(contents))
    return file.getvalue()


class _Call:
    """What a pickle runs when it is opened."""

    def __reduce__(self):
        return os.system, ("touch out",)


def pickles(rng, data):
    """A pickle that runs a command, or one with other instructions."""
    if rng.random() < 0.3:
        return pickle.dumps({"a": _Call()}, protocol=rng.choice((0, 2, 4)))
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(b"cRbo(lidtQPUX\x8c\x93\x81\x92q}])u]ae.0211").to_bytes(
        1, "big"
    ) + data[place + rng.randrange(2) :]  # fmt: skip


FORMATS = {
    "png": (png_chunks,),
    "jpg": (jpeg_segments,),
    "tif": (tiff_tags,),
    "webp": (riff_chunks,),
    "mat": (mat_elements,),
    "json": JSON,
    "txt": TEXT,
    "flags": TEXT,
    "pkl": (pickles,),
    "pth": (zip_members, pickles),
    "keras": (zip_members,),
    "npz": (zip_members,),
    "zip": (zip_members,),
    "tar": (tar_members,),
}
