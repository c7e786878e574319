import inspect
from types import SimpleNamespace

import pytest
from absl import flags

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.parsing import asks_for_help, given_flags, help_text, parse_flags
from deeplab_tf.errors import InputError


@pytest.fixture
def values():
    values = flags.FlagValues()
    define = heading(values, "Data")
    define.string("data_dir", None, "Folder of the data set.", required=True)
    define.enum("grid", None, ["v1", "v2"], "The coarse grid.")
    define = heading(values, "Work")
    define.integer("steps", 20, "Number of steps.", lower_bound=1)
    define.float("rate", 0.0, "Rate.", lower_bound=0)
    define.bool("mirror", True, "Mirror half of the images.")
    define.list("splits", [], "Lists.")
    return values


def test_values_and_other_arguments(values):
    words = ["--data_dir=d", "x.png", "--nomirror", "--steps", "3", "--", "--y.png"]
    assert parse_flags(values, words) == ["x.png", "--y.png"]
    assert (values.data_dir, values.mirror, values.steps, values.rate) == ("d", False, 3, 0.0)
    assert given_flags(values) == ["--data_dir=d", "--steps=3", "--nomirror"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--data_dir is required; see --help"),
        (["--setps=3"], "unknown flag --setps; did you mean --steps?"),
        (["--zzz"], "unknown flag --zzz; --help lists the flags"),
        (["--steps"], "--steps needs a value: --steps=VALUE"),
        (["--steps=0"], "--steps=0: 0 is not a positive integer"),
        (["--mirror=7"], "--mirror=7: give true or false"),
        (["--grid=v3"], "--grid=v3: value should be one of <v1|v2>"),
    ],
)
def test_wrong_flags_are_one_line(values, words, message):
    with pytest.raises(InputError) as error:
        parse_flags(values, words)
    assert str(error.value) == message


def test_home_is_expanded(values, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parse_flags(values, ["--data_dir=~/data"])
    assert values.data_dir == "/home/me/data"
    parse_flags(values, ["--data_dir=~nobody_at_all/data"])
    assert values.data_dir == "~nobody_at_all/data"


def test_flags_without_effect_are_refused(values):
    parse_flags(values, ["--data_dir=d", "--steps=20"])
    refuse_given(values, ["rate"], "has no effect")
    with pytest.raises(InputError, match="--steps has no effect"):
        refuse_given(values, ["rate", "steps"], "has no effect")


def test_help(values):
    module = SimpleNamespace(__doc__="Do something.\n\n    deeplab-tf do", ARGUMENTS="IMAGE...")
    text = help_text("do", module, values)
    assert text.startswith(
        inspect.cleandoc("""
        usage: deeplab-tf do [--FLAG=VALUE ...] IMAGE...

        Do something.

            deeplab-tf do

        Data:
          --data_dir=TEXT
              Folder of the data set. Required.
          --grid=v1|v2
              The coarse grid.

        Work:
          --steps=INTEGER
              Number of steps. Default: 20.
          --rate=NUMBER
              Rate. Default: 0.0.
          --[no]mirror
              Mirror half of the images. Default: yes; --nomirror for no.
          --splits=A,B,...
              Lists.

        Files with flags:
          --flagfile=FILE
        """)
    )
    assert asks_for_help(["x", "--help"]) and not asks_for_help(["--", "--help"])
