import hashlib
import http.server
import io
import stat
import tarfile
import threading
import zipfile
from dataclasses import replace

import pytest
from tiny_archives import pack

from deeplab_tf.data.prepare.archives import Archive, known_contents, locate, unpacked
from deeplab_tf.data.prepare.unpack import extracted
from deeplab_tf.download import download
from deeplab_tf.errors import InputError

FILES = {"a/one.txt": "1", "a/b/two.bin": bytes(range(256)) * 40, "three.txt": ""}
KINDS = ("data.tar", "data.tgz", "data.zip")


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def archive_of(path, algorithm="sha256"):
    digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
    return Archive(path.name, "", f"{algorithm}:{digest}", path.stat().st_size, "https://page")


def error_of(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Extracting


@pytest.mark.parametrize("name", KINDS)
def test_extracts_every_file(tmp_path, name):
    path = pack(tmp_path / name, FILES)
    folder = extracted(path, tmp_path / "out" / "contents")
    expected = {n: c.encode() if isinstance(c, str) else c for n, c in FILES.items()}
    assert contents(folder) == expected
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["contents"]


def test_what_is_extracted_is_not_read_again(tmp_path):
    path = pack(tmp_path / "data.tar", FILES)
    folder = extracted(path, tmp_path / "contents")
    path.write_bytes(b"")
    assert contents(extracted(path, folder)).keys() == FILES.keys()


@pytest.mark.parametrize(
    ("name", "share"),
    # The last fifth of this tar file is padding that nobody needs.
    [(name, share) for name in KINDS for share in (0.0, 0.03, 0.5)]
    + [("data.tar", 0.6), ("data.tgz", 0.98), ("data.zip", 0.98)],
)
def test_a_cut_off_archive(tmp_path, name, share):
    path = pack(tmp_path / name, FILES)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = error_of(extracted, path, tmp_path / "contents")
    assert message.startswith(f"{path}: cut off or damaged (")
    assert message.endswith("; download it again")
    assert everything(tmp_path) == [name]


def test_a_tar_cut_off_between_two_members(tmp_path):
    path = pack(tmp_path / "data.tar", FILES)
    with tarfile.open(path) as archive:
        second = archive.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:second])
    message = error_of(extracted, path, tmp_path / "contents")
    assert "cut off or damaged (no end of archive)" in message
    assert everything(tmp_path) == ["data.tar"]


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_archive(tmp_path, name):
    path = tmp_path / name
    if name == "data.tar":
        path.write_bytes(bytes(10240))  # as a disk that failed may give it
    else:
        pack(path, {})
    message = error_of(extracted, path, tmp_path / "contents")
    assert message == f"{path}: contains no files; download it again"
    assert everything(tmp_path) == [name]


@pytest.mark.parametrize("name", ["data.tgz", "data.zip"])
def test_changed_bytes(tmp_path, name):
    path = pack(tmp_path / name, {"noise": hashlib.sha512(b"").digest() * 50})
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))
    assert "cut off or damaged" in error_of(extracted, path, tmp_path / "contents")
    assert everything(tmp_path) == [name]


def write_tar(path, name, kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, "w") as archive:
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        archive.addfile(member, io.BytesIO())


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", ".."])
def test_a_tar_that_points_outside(tmp_path, name):
    path = tmp_path / "data.tar"
    write_tar(path, name, tarfile.DIRTYPE if name == ".." else tarfile.REGTYPE)
    message = error_of(extracted, path, tmp_path / "out" / "contents")
    assert f"its member {name!r} would lie outside the folder" in message
    assert everything(tmp_path) == ["data.tar", "out"]


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "../../secret"),
        (tarfile.SYMTYPE, "good.txt"),
        (tarfile.LNKTYPE, "good.txt"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
    ],
)
def test_a_tar_with_links_or_devices(tmp_path, kind, link):
    path = tmp_path / "data.tar"
    write_tar(path, "odd", kind, link)
    message = error_of(extracted, path, tmp_path / "contents")
    assert f"{path}: its member 'odd' is a link or a device" in message
    assert everything(tmp_path) == ["data.tar"]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "link"])
def test_a_zip_that_points_outside(tmp_path, name):
    path = tmp_path / "data.zip"
    member = zipfile.ZipInfo(name)
    if name == "link":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr(member, "../secret")
    message = error_of(extracted, path, tmp_path / "contents")
    assert f"{path}: its member {name!r}" in message
    assert everything(tmp_path) == ["data.zip"]


# Finding and checking


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_finds_the_archive_and_keeps_its_contents(tmp_path, algorithm):
    path = pack(tmp_path / "manual" / "data.tar", FILES)
    archive = archive_of(path, algorithm)
    folder = unpacked(archive, tmp_path / "down", tmp_path / "manual")
    assert contents(folder).keys() == FILES.keys()
    path.unlink()
    assert unpacked(archive, tmp_path / "down", tmp_path / "manual") == folder


def test_an_archive_in_the_download_folder(tmp_path):
    path = pack(tmp_path / "down" / "data.tar", FILES)
    assert locate(archive_of(path), tmp_path / "down")[0] == path


def test_wrong_checksum(tmp_path):
    path = pack(tmp_path / "manual" / "data.tar", FILES)
    archive = replace(archive_of(path), checksum="sha256:" + "0" * 64)
    message = error_of(unpacked, archive, tmp_path / "down", tmp_path / "manual")
    assert f"{path}: its sha256 is " in message and "download it again" in message
    assert everything(tmp_path) == ["manual", "manual/data.tar"]


def test_wrong_size(tmp_path):
    path = pack(tmp_path / "manual" / "data.tar", FILES)
    archive = archive_of(path)
    path.write_bytes(path.read_bytes()[:1000])
    message = error_of(unpacked, archive, tmp_path / "down", tmp_path / "manual")
    assert f"{path}: 1000 bytes, but the original has {archive.size}" in message
    assert everything(tmp_path) == ["manual", "manual/data.tar"]


def test_a_trusted_archive_never_passes_for_the_original(tmp_path):
    path = pack(tmp_path / "manual" / "data.tar", FILES)
    archive = replace(archive_of(path), checksum="sha256:" + "0" * 64)
    first = unpacked(archive, tmp_path / "down", tmp_path / "manual", trust=True)
    pack(path, {"other.txt": "2"})
    second = unpacked(archive, tmp_path / "down", tmp_path / "manual", trust=True)
    assert contents(second) == {"other.txt": b"2"} and first != second
    assert "its sha256 is" in error_of(
        unpacked, replace(archive, size=None), tmp_path / "down", tmp_path / "manual"
    )


def test_the_original_does_not_stand_in_for_a_trusted_archive(tmp_path):
    path = pack(tmp_path / "manual" / "data.tar", FILES)
    archive = archive_of(path)
    unpacked(archive, tmp_path / "down", tmp_path / "manual")
    pack(path, {"other.txt": "2"})
    folder = unpacked(archive, tmp_path / "down", tmp_path / "manual", trust=True)
    assert contents(folder) == {"other.txt": b"2"}


def test_an_archive_that_only_a_person_can_get(tmp_path):
    archive = Archive("leftImg8bit.zip", page="https://www.example.org/login")
    message = error_of(unpacked, archive, tmp_path / "down", tmp_path)
    expected = f"{tmp_path}/leftImg8bit.zip: no such file; download it yourself from https://www.example.org"
    assert expected in message and "save it as leftImg8bit.zip" in message
    assert message.endswith("--manual_dir")
    assert everything(tmp_path) == []


def test_a_folder_of_archives_that_is_not_there(tmp_path):
    message = error_of(unpacked, Archive("data.tar"), tmp_path / "down", tmp_path / "manual")
    assert message == f"{tmp_path}/manual: no such folder; check --manual_dir"
    assert everything(tmp_path) == []


def test_the_name_of_the_contents_without_extracting(tmp_path):
    path, down = pack(tmp_path / "manual" / "data.tar", FILES), tmp_path / "down"
    archive = archive_of(path)
    name = f"data.tar.{archive.digest[:12]}"
    unpublished = replace(archive, checksum="")
    for asked in (archive, unpublished):
        assert known_contents(asked, down, path.parent) == name
        assert unpacked(asked, down, path.parent).name == name
    pack(path, {"other.txt": "2"})
    assert known_contents(archive, down, path.parent) == name  # no other may be used
    assert known_contents(archive, down, path.parent, trust=True) not in ("", name)
    path.unlink()
    assert known_contents(archive, down, path.parent) == name
    assert known_contents(unpublished, down, path.parent) == ""


# Downloading


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.data`; breaks off each answer after `server.cut` bytes where that is set."""

    def do_GET(self):
        data, start = self.server.data, 0
        ranges = self.headers.get("Range")
        self.server.ranges.append(ranges)
        if ranges and self.server.knows_ranges:
            start = int(ranges.removeprefix("bytes=").removesuffix("-"))
        if self.path != "/data.tar" or start >= len(data):
            self.send_response(404 if self.path != "/data.tar" else 416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut = self.server.cut.pop(0) if self.server.cut else None
        self.wfile.write(data[start:][:cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    data = pack(tmp_path / "served" / "data.tar", FILES).read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data, server.cut, server.ranges, server.knows_ranges = data, [], [], True
    server.url = f"http://127.0.0.1:{server.server_port}/data.tar"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def served(server):
    digest = hashlib.sha256(server.data).hexdigest()
    return Archive("data.tar", server.url, f"sha256:{digest}", len(server.data))


def test_downloads_checks_and_extracts(tmp_path, server):
    folder = unpacked(served(server), tmp_path / "down")
    assert contents(folder).keys() == FILES.keys()
    assert (tmp_path / "down" / "data.tar").read_bytes() == server.data
    unpacked(served(server), tmp_path / "down")
    assert len(server.ranges) == 1


def test_a_broken_connection_is_taken_up_again(tmp_path, server):
    server.cut = [100, 50]
    unpacked(served(server), tmp_path / "down")
    assert server.ranges == [None, "bytes=100-", "bytes=150-"]
    assert (tmp_path / "down" / "data.tar").read_bytes() == server.data


def test_a_later_run_goes_on(tmp_path, server):
    server.cut = [100, 0]
    message = error_of(unpacked, served(server), tmp_path / "down")
    assert f"data.tar: cannot be downloaded from {server.url} (the connection broke" in message
    assert everything(tmp_path / "down") == ["data.tar.part"]
    unpacked(served(server), tmp_path / "down")
    assert server.ranges[-1] == "bytes=100-"
    assert (tmp_path / "down" / "data.tar").read_bytes() == server.data


def test_a_part_that_is_already_whole(tmp_path, server):
    part = tmp_path / "data.tar.part"
    part.write_bytes(server.data)
    assert download(server.url, part).read_bytes() == server.data


def test_a_server_without_ranges_sends_everything_again(tmp_path, server):
    server.knows_ranges = False
    part = tmp_path / "data.tar.part"
    part.write_bytes(b"x" * 100)
    assert download(server.url, part).read_bytes() == server.data


def test_a_download_with_another_checksum_is_deleted(tmp_path, server):
    archive = replace(served(server), checksum="md5:" + "0" * 32)
    message = error_of(unpacked, archive, tmp_path / "down")
    assert message.startswith(f"{server.url}: ") and "its md5 is" in message
    assert everything(tmp_path / "down") == []


@pytest.mark.parametrize("missing", ["address", "server", "scheme"])
def test_what_cannot_be_downloaded(tmp_path, server, missing):
    url = {
        "address": server.url + ".old",
        "server": "http://127.0.0.1:9/data.tar",
        "scheme": "data.tar",
    }[missing]
    message = error_of(unpacked, Archive("data.tar", url), tmp_path / "down")
    assert message.startswith(f"data.tar: cannot be downloaded from {url} (")
    assert message.endswith(
        "; download it yourself, save it as data.tar, and give its folder as --manual_dir"
    )
    assert not (tmp_path / "down").exists()
