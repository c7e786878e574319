from deeplab_tf.files import write_file
from deeplab_tf.partial_files import remove_leftovers, workplace


def test_what_a_process_works_in_is_no_leftover(tmp_path):
    with workplace(tmp_path / "a", is_file=True) as file, workplace(tmp_path / "b") as folder:
        remove_leftovers(tmp_path)
        assert file.is_file() and folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_the_rights_of_any_new_file_and_only_own_leftovers_are_deleted(tmp_path):
    (tmp_path / ".scores.json.0123abcd.partial").write_text("half")
    strangers = {".notes.partial", ".scores.json.partial", "scores.json.0123abcd.partial"}
    for name in (*strangers, "usual"):
        (tmp_path / name).touch()
    write_file(tmp_path / "scores.json", b"new")
    assert (tmp_path / "scores.json").stat().st_mode == (tmp_path / "usual").stat().st_mode
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*strangers, "usual", "scores.json"}
