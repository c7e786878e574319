import pytest

from crf import memory


def test_a_size_below_the_available_memory_is_accepted(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    memory.check_memory(0, "the tables")
    memory.check_memory(2_000_000_000, "the tables")


def test_too_large_a_size_raises_one_line_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    with pytest.raises(ValueError, match=r"the tables take 7\.5 GB, but 2\.0 GB") as error:
        memory.check_memory(7_500_000_000, "the tables")
    assert "compute tiles, or fewer points (a smaller image)" in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_refused_if_the_available_memory_is_unknown(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.check_memory(1 << 60, "the tables")


def test_an_exabyte_is_refused_on_every_machine():
    if memory.available_memory() is None:
        pytest.skip("this system does not report its available memory")
    memory.check_memory(1, "the tables")
    with pytest.raises(ValueError, match="the tables take"):
        memory.check_memory(1 << 60, "the tables")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MemTotal:       9 kB\nMemFree: 1 kB\nMemAvailable:   12345 kB\n", 12345 * 1024),
        ("MemTotal:       9 kB\nMemFree: 1 kB\n", None),
    ],
)
def test_available_memory_is_read_from_the_system(monkeypatch, tmp_path, text, expected):
    (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "meminfo")
    assert memory.available_memory() == expected


def test_available_memory_is_unknown_without_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "missing")
    assert memory.available_memory() is None


def test_the_estimate_is_proportional_to_the_pixels_and_grows_with_the_labels():
    one = memory.inference_bytes(10, 20, 3)
    assert memory.inference_bytes(20, 20, 3) == memory.inference_bytes(10, 40, 3) == 2 * one
    assert memory.inference_bytes(10, 20, 4) > one
