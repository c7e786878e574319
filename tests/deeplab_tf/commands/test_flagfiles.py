import pytest

from deeplab_tf.commands.flagfiles import CONFIGS, expand_flagfiles, find_flagfile
from deeplab_tf.errors import InputError


@pytest.mark.parametrize("name", ["demo", "demo.flags", "configs/demo", "configs/demo.flags"])
def test_own_flagfiles_are_found_by_name_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_flagfile(name) == CONFIGS / "demo.flags"


def test_a_file_of_that_path_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("--steps=1")
    assert find_flagfile("demo").read_text() == "--steps=1"
    assert find_flagfile(tmp_path / "demo").read_text() == "--steps=1"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dmeo", "did you mean demo"),
        ("voc_vgg16_largefov", "did you mean voc_vgg16_large_fov"),
        ("elsewhere/demo", "did you mean demo"),
        ("zzz", "`deeplab-tf configs` lists them"),
    ],
)
def test_a_missing_file_names_similar_ones(tmp_path, monkeypatch, name, advice):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"--flagfile={name}: no such file; {advice}"):
        find_flagfile(name)


def test_flags_are_put_in_the_place_of_their_file(tmp_path):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text("// a comment\n  --b=2  \n\n")
    outer.write_text(f"# a comment\n--a=1\n--flagfile={inner}\n--c=3\n")
    words = [
        "--x",
        "--flagfile",
        str(outer),
        "image.png",
        f"--flagfile={inner}",
        "--",
        "--flagfile=z",
    ]
    assert expand_flagfiles(words) == [
        *("--x", "--a=1", "--b=2", "--c=3", "image.png", "--b=2", "--", "--flagfile=z")
    ]


def test_files_that_cannot_be_used(tmp_path):
    loop = tmp_path / "loop.flags"
    loop.write_text(f"--flagfile={loop}\n")
    with pytest.raises(InputError, match=r"loop\.flags: includes itself"):
        expand_flagfiles([f"--flagfile={loop}"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="binary: not a flagfile"):
        expand_flagfiles([f"--flagfile={tmp_path / 'binary'}"])
    with pytest.raises(InputError, match="--flagfile needs a value"):
        expand_flagfiles(["--flagfile"])
