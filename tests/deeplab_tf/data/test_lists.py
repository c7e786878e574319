import pytest

from deeplab_tf.data.lists import Entry, parse_entry, read_entries, read_lines
from deeplab_tf.errors import InputError


@pytest.mark.parametrize(
    "line, entry",
    [
        ("a", Entry("a")),
        ("b c", Entry("b c")),
        ("v1.2", Entry("v1.2")),
        ("city/a", Entry("city/a")),
        ("a.jpg", Entry("a")),
        ("a.b.JPEG", Entry("a.b")),
        ("/JPEGImages/city/a.png", Entry("city/a")),
        ("/etc/passwd", Entry("etc/passwd")),
        (
            "/JPEGImages/a.jpg /SegmentationClassAug/a.png",
            Entry("a", "JPEGImages/a.jpg", "SegmentationClassAug/a.png"),
        ),
        ("photos/b c.JPG\tmasks/b c.PNG", Entry("photos/b c", "photos/b c.JPG", "masks/b c.PNG")),
        ("a.png a.png", Entry("a", "a.png", "a.png")),
    ],
)
def test_a_line_is_a_name_or_two_paths(line, entry):
    assert parse_entry(line) == entry


def test_absolute_paths_in_the_folder(tmp_path):
    folder = tmp_path / "data"
    (folder / "JPEGImages").mkdir(parents=True)
    given = tmp_path / "link"
    given.symlink_to(folder)
    for place, data_dir in ((folder, given), (given, folder), (folder, folder)):
        image, label = f"{place}/JPEGImages/b c.jpg", f"{place}/SegmentationClass/b c.png"
        expected = Entry("b c", "JPEGImages/b c.jpg", "SegmentationClass/b c.png")
        assert parse_entry(f"{image} {label}", data_dir) == expected
        assert parse_entry(image, data_dir) == Entry("b c")
    for data_dir in (folder, given):  # as in VOC's lists
        assert parse_entry("/JPEGImages/a.jpg", data_dir) == Entry("a")
    with pytest.raises(InputError, match="leads out of the data set's folder"):
        parse_entry(f"{folder}/../a.jpg", folder)


def test_files_outside_of_the_folder_are_named(tmp_path):
    (tmp_path / "data").mkdir()
    image, label = tmp_path / "a.jpg", tmp_path / "a.png"
    image.touch()
    (tmp_path / "list.txt").write_text(f"{image} {label}\n")
    message = rf"list\.txt: '{image}' is outside of the data set's folder {tmp_path / 'data'}; move"
    with pytest.raises(InputError, match=message):
        read_entries(tmp_path / "list.txt", tmp_path / "data")


@pytest.mark.parametrize("line", ["../a", "x/../../a.jpg", "a.jpg ../a.png", "/.."])
def test_no_line_leads_out_of_the_folder(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"fine\n{line}\n")
    with pytest.raises(InputError, match=r"list\.txt: '.*' leads out of the data set's folder"):
        read_entries(tmp_path / "list.txt")


def test_lines_are_stripped_and_blank_ones_left_out(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa\r\n \r\n\t b c \r\n\xc3\xbc")
    assert read_lines(tmp_path / "list.txt") == ["a", "b c", "\u00fc"]


@pytest.mark.parametrize(
    "contents, message",
    [
        (None, "No such file"),
        (b"caf\xe9\n", "not a text file in UTF-8"),
        (b"\xff\xfea\0", "not a text file in UTF-8"),
        (b"\xef\xbb\xbf\n", "lists no example"),
        (b"a\nb\na\n", "lists 'a' twice"),
        (b"a\na.jpg\n", "lists 'a' twice"),
        (b"a\n/JPEGImages/a.jpg /x/a.png\n", "lists 'a' twice"),
    ],
)
def test_unusable_lists_are_named(tmp_path, contents, message):
    if contents is not None:
        (tmp_path / "list.txt").write_bytes(contents)
    with pytest.raises(InputError, match=rf"list\.txt: {message}"):
        read_entries(tmp_path / "list.txt")
