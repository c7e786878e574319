import dataclasses
import json

import numpy as np
import pytest

from crf.params import NORMALIZATIONS, CRFParams


def test_defaults_are_the_published_ones():
    assert dataclasses.asdict(CRFParams()) == {
        "w1": 4,
        "sigma_alpha": 67,
        "sigma_beta": 3,
        "w2": 3,
        "sigma_gamma": 3,
        "iterations": 10,
        "normalization": "symmetric",
        "compatibility": None,
    }


def test_numbers_become_plain_python_numbers():
    params = CRFParams(w1=np.float32(2.5), sigma_alpha=np.int64(7), iterations=np.int32(4))
    assert type(params.w1) is float and params.w1 == 2.5
    assert type(params.sigma_alpha) is float and type(params.iterations) is int


def test_is_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CRFParams().w1 = 2
    assert len({CRFParams(), CRFParams(w1=4.0), CRFParams(w1=5)}) == 2


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_accepts_every_normalization(normalization):
    assert CRFParams(normalization=normalization).normalization == normalization


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w1", -1),
        ("w2", float("nan")),
        ("w1", "4"),
        ("w1", 10**400),
        ("sigma_alpha", 0),
        ("sigma_beta", -3),
        ("sigma_gamma", float("inf")),
        ("sigma_gamma", None),
        ("iterations", -1),
        ("iterations", 2.5),
        ("iterations", True),
        ("normalization", "both"),
        ("compatibility", ()),
        ("compatibility", 3),
        ("compatibility", "ab"),
        ("compatibility", ((0, 1),)),
        ("compatibility", ((0, 1), (1,))),
        ("compatibility", ((0, "1"), (1, 0))),
        ("compatibility", ((0, None), (1, 0))),
    ],
)
def test_a_bad_value_gives_one_line_with_its_name(name, value):
    with pytest.raises(ValueError, match=name) as error:
        CRFParams(**{name: value})
    assert "\n" not in str(error.value) and repr(value) in str(error.value)


def test_compatibility_becomes_tuples_of_plain_floats():
    params = CRFParams(compatibility=np.array([[0, 1], [2, 3]], np.int32))
    assert params.compatibility == ((0.0, 1.0), (2.0, 3.0))
    assert {type(value) for row in params.compatibility for value in row} == {float}
    assert hash(params) == hash(CRFParams(compatibility=[[0, 1], [2, 3]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_infinite_or_nan_compatibility_names_its_row(value):
    with pytest.raises(ValueError, match="compatibility must be finite, but row 1"):
        CRFParams(compatibility=((0, 1), (value, 0)))


def test_a_large_bad_compatibility_gives_a_short_line():
    with pytest.raises(ValueError, match="C rows of C numbers") as error:
        CRFParams(compatibility=np.zeros((30, 31)))
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


LEARNED = CRFParams(
    w1=0.1, sigma_beta=3.7, iterations=5, normalization="after", compatibility=((0, 1 / 3), (2, 0))
)


@pytest.mark.parametrize("params", [CRFParams(), LEARNED])
def test_saved_parameters_are_loaded_bit_identical(tmp_path, params):
    path = tmp_path / "new" / "crf.json"
    params.save(path)
    assert CRFParams.load(path) == params
    assert [entry.name for entry in path.parent.iterdir()] == ["crf.json"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "crf.json"
    LEARNED.save(path)
    monkeypatch.setattr("pathlib.Path.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CRFParams().save(path)
    assert CRFParams.load(path) == LEARNED
    assert [entry.name for entry in tmp_path.iterdir()] == ["crf.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "is not a JSON file"),
        ("[1]", "must hold one JSON object"),
        ({"w1": None}, "w1 must be a finite number"),
        ({"w1": "4"}, "w1 must be a finite number"),
        ({"sigma_alpha": float("nan")}, "sigma_alpha must be a finite number"),
        ({"normalization": ["after"]}, "unknown normalization"),
        ({"compatibility": [[0, 1]]}, "C rows of C numbers"),
        ({"w3": 1, "sigma": 2}, "holds unknown parameters: sigma, w3"),
    ],
)
def test_a_bad_file_gives_one_line_with_its_path(tmp_path, change, message):
    path = tmp_path / "crf.json"
    good = dataclasses.asdict(LEARNED)
    path.write_text(change if isinstance(change, str) else json.dumps({**good, **change}))
    with pytest.raises(ValueError, match=message) as error:
        CRFParams.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_file_without_some_parameters_is_refused(tmp_path):
    path = tmp_path / "crf.json"
    path.write_text('{"w1": 3}')
    with pytest.raises(ValueError, match=r"crf.json lacks parameters: compatibility, iterations"):
        CRFParams.load(path)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*crf.json: No such file"):
        CRFParams.load(tmp_path / "crf.json")
    (tmp_path / "crf.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match=r"crf.png is not a JSON file"):
        CRFParams.load(tmp_path / "crf.png")
